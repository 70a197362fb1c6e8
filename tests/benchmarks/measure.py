"""How a figure comes about: paired blocks in one process, and the median of their ratios.

Rules of this file:

1. Both sides of a comparison run in the same process and take turns, block by block, in an order that is shuffled
   anew each round. A machine that is shared slows both down alike, and the ratio of a round is left alone.
2. CPU is the time of the whole client process (``time.process_time``), so the threads of a library count.
3. What is told is the median of the rounds' ratios, and the interval that holds the true median in 19 of 20
   measurements. It comes from order statistics and takes no shape of the noise for granted.
"""

from __future__ import annotations

import gc
import math
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

__all__ = ["Block", "Estimate", "Sample", "Scale", "compare", "cores", "estimate", "pin", "ratios", "typical"]

Block: TypeAlias = Callable[[], Awaitable[float]]
"""Does some work, and tells how many units (calls, MiB) it was."""

Key: TypeAlias = Literal["cpu", "wall"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure.

    Args:
        rounds: pairs of blocks for each comparison; ``None`` for the benchmark's own number.
        quick: whether to do just enough to see that everything works; the figures mean nothing then.
    """

    rounds: int | None = None
    quick: bool = False

    def pairs(self, usual: int) -> int:
        """The number of rounds."""
        return self.rounds or (2 if self.quick else usual)

    def units(self, usual: int, quick: int) -> int:
        """The size of a block, or of whatever else there is a number of."""
        return quick if self.quick else usual


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds per unit in one block."""

    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median, and the 95 % interval of that median; ``count`` values went into it."""

    median: float
    low: float
    high: float
    count: int


def estimate(values: list[float]) -> Estimate:
    """The median and its interval by order statistics; below six values the interval is all of them."""
    ranked, count = sorted(values), len(values)
    spare = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return Estimate(median(ranked), ranked[spare], ranked[count - 1 - spare], count)


async def compare(
    sides: Mapping[str, Block],
    rounds: int,
    *,
    warm: int = 1,
    between: Callable[[], Awaitable[None]] | None = None,
) -> dict[str, list[Sample]]:
    """Run all sides ``rounds`` times, in an order that is shuffled each time.

    Args:
        sides: blocks by name.
        rounds: at least one.
        warm: rounds before that are not counted.
        between: called after each block, and not measured.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    order = list(sides)
    for number in range(-warm, rounds):
        if number == 0:
            gc.collect()
            gc.freeze()  # so that the collection before each block stays cheap
        random.shuffle(order)
        for name in order:
            gc.collect()  # what one side left behind is not to be swept up on the other's time
            wall, cpu = time.perf_counter(), time.process_time()
            units = await sides[name]()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if between is not None:
                await between()
            if number >= 0:
                samples[name].append(Sample(cpu / units, wall / units))
    gc.unfreeze()
    return samples


def ratios(ours: list[Sample], theirs: list[Sample], key: Key = "cpu") -> Estimate:
    """Ours over theirs, round by round."""
    return estimate([getattr(a, key) / getattr(b, key) for a, b in zip(ours, theirs, strict=True)])


def typical(samples: list[Sample], key: Key = "cpu") -> float:
    """The median of one side, in seconds per unit."""
    return median(getattr(sample, key) for sample in samples)


def cores() -> list[int]:
    """The processor cores that we may use; an empty list where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(core: int | None) -> None:
    """Keep this process, and the threads that it starts from now on, on one core; ``None`` does nothing."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})

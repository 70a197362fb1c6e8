"""The method of measurement: paired blocks in one process, and the median of their ratios.

1. Both sides of a comparison run in the same process and alternate, block by block, in an order that is shuffled in
   each round. A busy machine slows both down alike, so the ratio within a round is unaffected.
2. CPU is the time of the whole client process (``time.process_time``), including the threads of a library.
3. The result is the median of the rounds' ratios, with its 95 % confidence interval. The interval comes from order
   statistics and does not assume a distribution.
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
"""Does some work and returns its number of units (calls, MiB)."""

Key: TypeAlias = Literal["cpu", "wall"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure.

    Args:
        rounds: pairs of blocks per comparison; ``None`` for the benchmark's own number.
        quick: whether to only check that everything works; the figures then mean nothing.
    """

    rounds: int | None = None
    quick: bool = False

    def pairs(self, usual: int) -> int:
        """Return the number of rounds."""
        return self.rounds or (2 if self.quick else usual)

    def units(self, usual: int, quick: int) -> int:
        """Return the size of a block, or another count."""
        return quick if self.quick else usual


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds per unit in one block."""

    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The median of ``count`` values and its 95 % confidence interval."""

    median: float
    low: float
    high: float
    count: int


def estimate(values: list[float]) -> Estimate:
    """Return the median and its interval by order statistics; below six values the interval is their range."""
    ranked, count = sorted(values), len(values)
    spare = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return Estimate(median(ranked), ranked[spare], ranked[count - 1 - spare], count)


async def compare(
    sides: Mapping[str, Block],
    rounds: int,
    *,
    warm: int = 1,
    between: Callable[[], Awaitable[None]] | None = None,
    clocks: Mapping[str, Callable[[], float]] | None = None,
) -> dict[str, list[Sample]]:
    """Run all sides ``rounds`` times, in an order that is shuffled in each round.

    Args:
        sides: blocks by name.
        rounds: number of rounds, at least 1.
        warm: rounds before these, which are not counted.
        between: called after each block; not measured.
        clocks: what tells a side's CPU in seconds, by side; ``None`` for that of this process.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    order = list(sides)
    for number in range(-warm, rounds):
        if number == 0:
            gc.collect()
            gc.freeze()  # so that the collection before each block stays cheap
        random.shuffle(order)
        for name in order:
            gc.collect()  # one side's garbage must not be collected in the other's time
            clock = time.process_time if clocks is None else clocks[name]
            wall, cpu = time.perf_counter(), clock()
            units = await sides[name]()
            cpu, wall = clock() - cpu, time.perf_counter() - wall
            if between is not None:
                await between()
            if number >= 0:
                samples[name].append(Sample(cpu / units, wall / units))
    gc.unfreeze()
    return samples


def ratios(ours: list[Sample], theirs: list[Sample], key: Key = "cpu") -> Estimate:
    """Return the ratios of ours to theirs, by round."""
    return estimate([getattr(a, key) / getattr(b, key) for a, b in zip(ours, theirs, strict=True)])


def typical(samples: list[Sample], key: Key = "cpu") -> float:
    """Return the median of one side, in seconds per unit."""
    return median(getattr(sample, key) for sample in samples)


def cores() -> list[int]:
    """Return the available processor cores; an empty list if the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(core: int | None) -> None:
    """Pin this process, and threads that it starts from now on, to one core; ``None`` does nothing."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})

"""The waterfall of a dial: one line per phase, with bars on a common time axis."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TypedDict

from ziggurat.node.cli.terminal import BLOCK, Paint
from ziggurat.services import Phase

__all__ = ["PhaseRecord", "phase_records", "waterfall"]

WIDTH = 78
"""Columns of a line, which the commands indent by two."""

BAR_WIDTH = 32
"""Columns of the time axis, as far as the rest of the line leaves them."""

LEAST_BAR_WIDTH = 10

NAME_WIDTH = 20
"""Columns of a phase's name; a longer one, of a user's layer, is shortened."""

NUMBERS_WIDTH = 37
"""Columns of start, took and outcome, with the gaps around them."""

COLOURS = {"ok": "green", "failed": "red", "timeout": "red", "cancelled": "yellow", "running": "yellow"}


class PhaseRecord(TypedDict):
    """A phase as ``--json`` prints it; ``elapsed`` in seconds."""

    phase: str
    via: str | None
    elapsed: float
    outcome: str


def phase_records(phases: Sequence[Phase]) -> list[PhaseRecord]:
    """Return the phases for ``--json``, ordered by their start."""
    return [
        {"phase": p.name, "via": p.via, "elapsed": round(p.elapsed or 0.0, 6), "outcome": p.outcome} for p in phases
    ]


def waterfall(phases: Sequence[Phase], paint: Paint) -> list[str]:
    """Draw the phases; return no lines if there are none."""
    if not phases:
        return []
    total = max((p.start + (p.elapsed or 0.0) for p in phases), default=0.0) or 1e-9
    names = min(NAME_WIDTH, max(len("phase"), *(len(p.name) for p in phases)))
    vias = max(len("via"), *(len(p.via or "") for p in phases))
    vias = min(vias, WIDTH - names - NUMBERS_WIDTH - LEAST_BAR_WIDTH)
    axis = min(BAR_WIDTH, WIDTH - names - NUMBERS_WIDTH - vias)
    lines = [paint("dim", f"{'phase':{names}}  {'via':{vias}}  {'start':>9}  {'took':>9}  outcome")]
    for p in phases:
        elapsed = p.elapsed or 0.0
        left = min(axis - 1, round(p.start / total * axis))
        width = max(1, min(axis - left, round(elapsed / total * axis)))
        bar = paint(COLOURS[p.outcome], BLOCK * width)
        name, via = _shortened(p.name, names), _shortened(p.via or "", vias)
        head = f"{name:{names}}  {via:{vias}}  {_duration(p.start)}  {_duration(elapsed)}  "
        lines.append(f"{head}{p.outcome:9}  {' ' * left}{bar}")
        if p.note:
            gap = " " * (names + 2)
            lines += [paint("dim", gap + line) for line in textwrap.wrap(p.note, WIDTH - len(gap))]
    return lines


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:6.1f} ms" if seconds < 10 else f"{seconds:7.1f} s"


def _shortened(text: str, width: int) -> str:
    """Replace the middle of a long text: an onion service's address begins and ends in what tells it apart."""
    if len(text) <= width:
        return text
    end = (width - 3) // 2
    return f"{text[: width - 3 - end]}...{text[len(text) - end :]}"

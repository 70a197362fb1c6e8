"""The waterfall of a dial: one line per phase, with bars on a common time axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from ziggurat.node.cli.terminal import BLOCK, Paint
from ziggurat.services import Phase

__all__ = ["PhaseRecord", "phase_records", "waterfall"]

BAR_WIDTH = 32
"""Width of the time axis in characters: whole lines fit into 100 columns."""

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
    names = max(len("phase"), *(len(p.name) for p in phases))
    vias = max(len("via"), *(len(p.via or "") for p in phases))
    lines = [paint("dim", f"{'phase':{names}}  {'via':{vias}}  {'start':>9}  {'took':>9}  outcome")]
    for p in phases:
        elapsed = p.elapsed or 0.0
        left = min(BAR_WIDTH - 1, round(p.start / total * BAR_WIDTH))
        width = max(1, min(BAR_WIDTH - left, round(elapsed / total * BAR_WIDTH)))
        bar = paint(COLOURS[p.outcome], BLOCK * width)
        head = f"{p.name:{names}}  {p.via or '':{vias}}  {p.start * 1e3:6.1f} ms  {elapsed * 1e3:6.1f} ms  "
        lines.append(f"{head}{p.outcome:9}  {' ' * left}{bar}")
        if p.note:
            lines.append(paint("dim", f"{'':{names}}  {p.note}"))
    return lines

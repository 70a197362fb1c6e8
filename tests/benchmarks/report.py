"""The results, as a table and as JSON."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from measure import Estimate, Sample, ratios, typical

__all__ = ["Must", "Row", "as_json", "as_text", "cpu_row", "not_measured", "number"]

PACKAGES = (
    "ziggurat",
    "anyio",
    "grpclib",
    "grpcio",
    "h11",
    "h2",
    "hpack",
    "httpcore",
    "protobuf",
    "python-socks",
    "socksio",
)


@dataclass(frozen=True, slots=True)
class Must:
    """The limit of a figure: an upper bound, a lower bound, or the exact value."""

    limit: float
    kind: Literal["<=", ">=", "="] = "<="

    def met_by(self, value: float) -> bool:
        """Compare a figure as it is printed, with two decimals."""
        if self.kind == "=":
            return value == self.limit
        return round(value, 2) <= self.limit if self.kind == "<=" else round(value, 2) >= self.limit

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Args:
        benchmark: ``B1`` and so on.
        what: the figure.
        against: the other side; empty without a comparison.
        ours, theirs: the values of both sides with their units, for the reader.
        value: the value to be judged: a ratio or a plain number; ``None`` if it was not measured.
        must: its limit; ``None`` if it is only reported.
        note: a remark for the reader; empty for none.
    """

    benchmark: str
    what: str
    against: str
    ours: str
    theirs: str
    value: Estimate | None
    must: Must | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """``ok`` or ``missed``, with a ``?`` if the limit is within the interval; a dash without a limit."""
        if self.value is None:
            return "not measured"
        if self.must is None:
            return "-"
        verdict = "ok" if self.must.met_by(self.value.median) else "missed"
        unsure = self.must.kind != "=" and self.value.low <= self.must.limit < self.value.high
        return f"{verdict}?" if unsure and self.value.count > 1 else verdict


def number(value: float) -> Estimate:
    """Return a figure that was measured once or does not vary."""
    return Estimate(value, value, value, 1)


def not_measured(benchmark: str, what: str, why: str) -> Row:
    """Return a row that says that something could not be measured here."""
    return Row(benchmark, what, "", "", "", None, note=f"not measured: {why}")


def cpu_row(
    benchmark: str,
    what: str,
    samples: dict[str, list[Sample]],
    against: str,
    must: float | None,
    *,
    ours: str = "ziggurat",
    unit: str = "call",
) -> Row:
    """Return the usual row: CPU of one side over CPU of the other."""
    mine, other = samples[ours], samples[against]
    value = ratios(mine, other)
    rate = ratios(other, mine, "wall")
    note = (
        f"rate x{rate.median:.2f} ({1 / typical(mine, 'wall'):.0f} against {1 / typical(other, 'wall'):.0f} {unit}/s)"
    )
    limit = None if must is None else Must(must)
    shown = [f"{typical(side) * 1e6:.0f} us/{unit}" for side in (mine, other)]
    return Row(benchmark, what, against, *shown, value, limit, note)


def as_text(rows: list[Row]) -> str:
    """Return the table as text, one line per row."""
    head = ("", "what", "against", "ours", "theirs", "measured", "95 %", "n", "must", "")
    lines = [head]
    for row in rows:
        must = "" if row.must is None else str(row.must)
        lines.append(
            (row.benchmark, row.what, row.against, row.ours, row.theirs, *_shown(row.value), must, row.verdict)
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    notes = [
        f"{row.benchmark} {row.what}{row.against and ', to ' + row.against}: {row.note}" for row in rows if row.note
    ]
    return "\n".join([*text, "", *notes])


def _shown(value: Estimate | None) -> tuple[str, str, str]:
    if value is None:
        return "", "", ""
    if value.count == 1:
        return f"{value.median:.2f}".removesuffix(".00"), "", "1"
    return f"{value.median:.2f}", f"{value.low:.2f}..{value.high:.2f}", str(value.count)


def as_json(rows: list[Row]) -> dict[str, Any]:
    """Return the table as one JSON object."""
    return {"schema": 1, "machine": machine(), "rows": [{**asdict(row), "verdict": row.verdict} for row in rows]}


def machine() -> dict[str, Any]:
    """Describe the machine and the package versions."""
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            pass
    return {
        "cores": os.cpu_count(),
        "implementation": sys.implementation.name,
        "packages": versions,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }

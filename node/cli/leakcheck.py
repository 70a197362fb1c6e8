"""The result of a leak check, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict

from ziggurat.layers.leakcheck import Finding, LeakReport
from ziggurat.node.cli.table import Column, table_lines
from ziggurat.node.cli.terminal import Paint
from ziggurat.services.errors import fold

__all__ = ["leak_lines", "report_as_json"]

SCHEMA = 1

COLUMNS = (Column("time", "right"), Column("process"), Column("what"), Column("where"))


def leak_lines(report: LeakReport, paint: Paint) -> list[str]:
    """Return the lines: a table of what went elsewhere, how the proxies were used, and the verdict."""
    lines: list[str] = []
    if report.findings:
        lines += [*table_lines(COLUMNS, [_row(each) for each in report.findings], paint), ""]
    for use in report.proxies:
        tries = "" if use.tried == use.connections else f", {use.tried} tries"
        lines.append(f"proxy {fold(use.proxy)}: {_counted(use.connections, 'connection')}{tries}")
    lines.append(f"the program ran for {report.elapsed:.1f} s{' and was then ended' if report.stopped else ''}")
    if report.findings:
        failure = f" (and {report.failure})" if report.failure else ""
        return [*lines, paint("red", f"Leaked: {_counted(len(report.findings), 'thing')} went elsewhere{failure}.")]
    if report.failure is not None:
        return [*lines, paint("yellow", f"Nothing leaked, but that proves nothing: {report.failure}.")]
    return [*lines, paint("green", "Clean: nothing went elsewhere.")]


def report_as_json(report: LeakReport) -> dict[str, object]:
    """Return the object that ``--json`` prints."""
    return {
        "schema": SCHEMA,
        "ok": report.clean,
        "failure": report.failure,
        "findings": [asdict(each) for each in report.findings],
        "proxies": [asdict(each) for each in report.proxies],
        "code": report.code,
        "stopped": report.stopped,
        "elapsed": report.elapsed,
        "lost": report.lost,
        "left": list(report.left),
    }


def _row(finding: Finding) -> tuple[str, str, str, str]:
    times = f" ({finding.count} times)" if finding.count > 1 else ""
    where = finding.where if finding.name is None else f"{finding.name}, of {finding.where}"
    return f"{finding.at:.3f}", finding.process, finding.kind, f"{where}{times}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

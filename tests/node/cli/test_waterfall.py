"""The waterfall of a dial."""

from __future__ import annotations

import io

import anyio
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.cli.terminal import paint_for
from ziggurat.node.cli.waterfall import BAR_WIDTH, phase_records, waterfall
from ziggurat.services import Phase, Uri, dial, phase

PLAIN = paint_for(io.StringIO())


def made(name: str, start: float, elapsed: float | None, outcome: str = "ok", via: str | None = None) -> Phase:
    entry = Phase(name, via, None, start)
    entry.elapsed, entry.outcome = elapsed, outcome  # type: ignore[assignment]
    return entry


async def test_each_phase_is_a_line_with_a_bar_on_a_common_axis() -> None:
    with dial(Uri.parse("http://x:1")) as current:
        with phase("tcp", via="proxy:1080"):
            await anyio.sleep(0.25)
        with phase("proxy.connect", via="proxy:1080") as entry:
            entry.note = "something to know"
            await anyio.sleep(0.75)
    lines = waterfall(current.ledger.phases, PLAIN)

    assert lines[0].split() == ["phase", "via", "start", "took", "outcome"]
    assert lines[1].split()[:6] == ["tcp", "proxy:1080", "0.0", "ms", "250.0", "ms"]
    assert lines[1].endswith("█" * (BAR_WIDTH // 4))
    assert lines[2].endswith(" " * (BAR_WIDTH // 4) + "█" * (BAR_WIDTH * 3 // 4))
    assert lines[3].strip() == "something to know"


def test_without_phases_there_are_no_lines() -> None:
    assert waterfall([], PLAIN) == []


@given(st.lists(st.tuples(st.floats(0, 1e4), st.none() | st.floats(0, 1e4)), min_size=1, max_size=8))
def test_bars_stay_within_the_axis(times: list[tuple[float, float | None]]) -> None:
    lines = waterfall([made("p", start, elapsed, "failed") for start, elapsed in times], PLAIN)

    for line in lines[1:]:
        bar = line[line.index("failed") + 11 :]
        assert bar.count("█") >= 1
        assert len(bar) <= BAR_WIDTH


def test_the_records_for_json_have_the_same_phases() -> None:
    phases = [made("tcp", 0.0, 0.1234567, via="p:1"), made("http2", 0.1, None, "running")]

    assert phase_records(phases) == [
        {"phase": "tcp", "via": "p:1", "elapsed": 0.123457, "outcome": "ok"},
        {"phase": "http2", "via": None, "elapsed": 0.0, "outcome": "running"},
    ]

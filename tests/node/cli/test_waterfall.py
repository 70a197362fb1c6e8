"""The waterfall of a dial."""

from __future__ import annotations

import io

import anyio
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.cli.terminal import paint_for
from ziggurat.node.cli.waterfall import BAR_WIDTH, NUMBERS_WIDTH, WIDTH, phase_records, waterfall
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
    axis = WIDTH - NUMBERS_WIDTH - len("proxy.connect" + "proxy:1080")
    assert axis < BAR_WIDTH
    assert lines[1].endswith("█" * round(axis / 4))
    assert lines[2].endswith(" " * round(axis / 4) + "█" * round(axis * 3 / 4))
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


@given(
    st.lists(
        st.tuples(st.text("abc.", min_size=1, max_size=40), st.text("xyz", max_size=80), st.floats(0, 9e4)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["ok", "cancelled"]),
)
def test_every_line_fits_into_80_columns(phases: list[tuple[str, str, float]], outcome: str) -> None:
    made_phases = [made(name, elapsed, elapsed, outcome, via) for name, via, elapsed in phases]
    made_phases[0].note = "what there is to know " * 9
    lines = waterfall(made_phases, PLAIN)

    assert max(map(len, lines)) <= WIDTH
    assert all("█" in line or "what" in line or "know" in line for line in lines[1:])


def test_a_long_via_keeps_its_beginning_and_its_port() -> None:
    onion = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:16111"
    (_, line) = waterfall([made("proxy.connect", 0.0, 1.0, via=onion)], PLAIN)

    assert " 2gzyxa5i...n:16111 " in line


def test_the_records_for_json_have_the_same_phases() -> None:
    phases = [made("tcp", 0.0, 0.1234567, via="p:1"), made("http2", 0.1, None, "running")]

    assert phase_records(phases) == [
        {"phase": "tcp", "via": "p:1", "elapsed": 0.123457, "outcome": "ok"},
        {"phase": "http2", "via": None, "elapsed": 0.0, "outcome": "running"},
    ]

from __future__ import annotations

from ziggurat.node.tor import StreamChange
from ziggurat.node.tor.streams import StreamTable


def new(stream: str, source: int | None, target: str = "h:80") -> StreamChange:
    return StreamChange(stream, "NEW", None, target, source)


def on(stream: str, circuit: str | None, status: str = "SENTCONNECT", target: str = "h:80") -> StreamChange:
    return StreamChange(stream, status, circuit, target)


def test_a_tunnel_is_known_by_its_source_and_its_target() -> None:
    table = StreamTable()
    for change in (new("1", 40000), on("1", "7"), new("2", 40001, "x.onion:80"), on("2", "8", target="x.onion:80")):
        table.take(change)

    assert table.circuit_of(40000, "h:80") == "7"
    assert table.circuit_of(40001, "X.onion:80") == "8"
    assert table.circuit_of(40000, "x.onion:80") is None  # of another program, or of another Tor
    assert table.circuit_of(40002, "h:80") is None


def test_a_name_stays_what_was_asked_for() -> None:
    table = StreamTable()
    table.take(new("1", 40000, "localhost:80"))
    table.take(on("1", "7", "REMAP", "127.0.0.1:80"))

    assert table.circuit_of(40000, "localhost:80") == "7"


def test_a_stream_may_move_to_another_circuit() -> None:
    table = StreamTable()
    table.take(new("1", 40000))
    assert table.circuit_of(40000, "h:80") is None
    table.take(on("1", "7"))
    table.take(on("1", None, "DETACHED"))
    assert table.circuit_of(40000, "h:80") is None
    table.take(on("1", "9"))
    assert table.circuit_of(40000, "h:80") == "9"


def test_what_has_ended_is_forgotten() -> None:
    table = StreamTable()
    for status in ("CLOSED", "FAILED"):
        table.take(new("1", 40000))
        table.take(on("1", "7"))
        table.take(on("1", "7", status))
        assert len(table) == 0
        assert table.circuit_of(40000, "h:80") is None


def test_a_port_that_is_used_again_belongs_to_the_new_stream() -> None:
    table = StreamTable()
    for change in (new("1", 40000), on("1", "7"), new("2", 40000), on("2", "8"), on("1", "7", "CLOSED")):
        table.take(change)

    assert table.circuit_of(40000, "h:80") == "8"


def test_streams_without_a_source_are_not_kept() -> None:
    table = StreamTable()
    table.take(new("1", None))
    table.take(on("1", "7"))
    table.take(on("2", "7"))  # new before we asked for events

    assert len(table) == 0


def test_what_was_missed_is_corrected_and_what_came_since_is_not_undone() -> None:
    table = StreamTable()
    for stream in ("1", "2", "3", "4"):
        table.take(new(stream, 40000 + int(stream)))
        table.take(on(stream, "7"))
    table.doubt()
    table.take(on("3", "9"))  # heard of before the answer is read, which may be older
    table.take(new("5", 40005))
    table.take(on("5", "5"))
    table.refresh("1 SUCCEEDED 8 h:80\n3 SUCCEEDED 7 h:80\n4 NEW 0 h:80\nnonsense")

    assert [table.circuit_of(40000 + number, "h:80") for number in range(1, 6)] == ["8", None, "9", None, "5"]
    assert len(table) == 4  # the second has ended

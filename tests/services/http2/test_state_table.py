"""The tables of `docs/explanation/http2.md` are what the code does: each cell is tried, in both roles."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services.http2.peers import (
    REQUEST,
    REQUEST_FIELDS,
    RESPONSE,
    RESPONSE_FIELDS,
    TRAILER_FIELDS,
    TRAILERS,
    RecordingStream,
    Rig,
)
from ziggurat.services.http2 import ErrorCode, LocalProtocolError, LocalSettings, RemoteProtocolError, StreamState
from ziggurat.services.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    frame,
    goaway_frame,
    ping_frame,
    rst_stream_frame,
    settings_frame,
    window_update_frame,
)

PAGE = (Path(__file__).parents[3] / "docs/explanation/http2.md").read_text(encoding="utf-8")
NAMES = {
    StreamState.OPEN: "open",
    StreamState.HALF_CLOSED_LOCAL: "half-closed (local)",
    StreamState.HALF_CLOSED_REMOTE: "half-closed (remote)",
    StreamState.CLOSED: "closed",
}


def table(mark: str) -> Iterator[tuple[str, str, str]]:
    """Yield row, column and text of each cell."""
    lines = PAGE.partition(f"<!-- {mark} -->")[2].strip().partition("\n\n")[0].splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    for row in rows:
        for column, cell in zip(header[1:], row[1:], strict=True):
            if column != "section":
                yield row[0].replace("`", ""), column, cell


def on_stream_1(data: bytes) -> bytes:
    return data[:5] + b"\0\0\0\x01" + data[9:]


FRAMES: dict[str, Callable[[Rig, bool], list[bytes]]] = {
    "HEADERS": lambda rig, idle: [rig.headers(1, fields(rig, idle))],
    "HEADERS, END_STREAM": lambda rig, idle: [rig.headers(1, fields(rig, idle), end=True)],
    "DATA": lambda rig, idle: [frame(DATA, 0, 1, b"x")],
    "DATA, END_STREAM": lambda rig, idle: [frame(DATA, END_STREAM, 1, b"x")],
    "DATA beyond the stream's window": lambda rig, idle: [frame(DATA, 0, 1, bytes(1001))],
    "RST_STREAM": lambda rig, idle: [rst_stream_frame(1, 8)],
    "WINDOW_UPDATE": lambda rig, idle: [window_update_frame(1, 1)],
    "WINDOW_UPDATE of 0": lambda rig, idle: [window_update_frame(1, 0)],
    "WINDOW_UPDATE beyond the largest window": lambda rig, idle: [window_update_frame(1, 2**31 - 1)],
    "PRIORITY": lambda rig, idle: [frame(PRIORITY, 0, 1, bytes(5))],
    "CONTINUATION": lambda rig, idle: [frame(CONTINUATION, END_HEADERS, 1)],
    "PUSH_PROMISE": lambda rig, idle: [frame(PUSH_PROMISE, END_HEADERS, 1, bytes(5))],
    "SETTINGS, PING, GOAWAY": lambda rig, idle: [
        on_stream_1(data) for data in (settings_frame(), ping_frame(bytes(8)), goaway_frame(0, 0))
    ],
    "of an unknown type": lambda rig, idle: [frame(0xBE, 0xFF, 1, b"x")],
}


def fields(rig: Rig, idle: bool) -> tuple[tuple[bytes, bytes], ...]:
    if idle:
        return RESPONSE_FIELDS if rig.client else REQUEST_FIELDS
    return TRAILER_FIELDS


def end_ours(rig: Rig, stream: RecordingStream) -> None:
    if rig.client:
        rig.connection.send_data(stream, (), 0, end=True)
    else:
        rig.connection.send_headers(stream, RESPONSE, end=True)


def in_state(column: str, client: bool) -> tuple[Rig, RecordingStream | None]:
    """Return a rig whose stream 1 is in this state, the peer's headers having come."""
    rig = Rig(client=client, local=LocalSettings(stream_window=1000))
    if column.startswith("idle"):
        return rig, None
    stream = rig.open()
    if client:
        rig.feed(rig.headers(1, RESPONSE_FIELDS))
    if column in ("half-closed (local)", "closed: both ended"):
        end_ours(rig, stream)
    if column in ("half-closed (remote)", "closed: both ended"):
        rig.feed(frame(DATA, END_STREAM, 1))
    elif column in ("closed: we reset it", "closed"):
        rig.connection.reset(stream)
    elif column == "closed: the peer reset it":
        rig.feed(rst_stream_frame(1, 8))
    rig.sent()
    assert NAMES[stream.state] == column.partition(":")[0]
    return rig, stream


def what_it_does(rig: Rig, stream: RecordingStream | None, data: bytes) -> str:
    before = vars_of(stream)
    try:
        rig.feed(data)
    except RemoteProtocolError as error:
        assert rig.sent()[-1].kind == GOAWAY
        return f"connection {error.code.name}"
    resets = [sent for sent in rig.sent() if sent.kind == RST_STREAM]
    if resets:
        return f"stream {ErrorCode(resets[0].payload[3]).name}"
    if stream is None and rig.owner.requests:
        stream = rig.owner.requests[0]
    after = vars_of(stream)
    if after == before:
        return "ignored"
    assert stream is not None
    if stream.state.name != before[0]:
        return f"→ {NAMES[stream.state]}"
    return "taken"


def vars_of(stream: RecordingStream | None) -> tuple[object, ...]:
    if stream is None:
        return ("IDLE",)
    return stream.state.name, tuple(stream.events), stream.send_window, stream.receive_window


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize(("row", "column", "cell"), list(table("received")))
def test_what_a_received_frame_does_is_what_the_page_says(row: str, column: str, cell: str, client: bool) -> None:
    if column == f"idle ({'server' if client else 'client'})":
        return
    idle = column.startswith("idle")
    for number in range(len(FRAMES[row](Rig(client=client), idle))):
        rig, stream = in_state(column, client)
        data = FRAMES[row](rig, idle)[number]

        assert what_it_does(rig, stream, data) == cell


def test_the_page_knows_every_frame() -> None:
    assert [row for row, column, _ in table("received") if column == "open"] == list(FRAMES)


CALLS: dict[str, Callable[[Rig, RecordingStream], None]] = {
    "open": lambda rig, stream: rig.connection.open(stream, REQUEST),
    "open(end=True)": lambda rig, stream: rig.connection.open(stream, REQUEST, end=True),
    "send_headers": lambda rig, stream: rig.connection.send_headers(stream, RESPONSE),
    "send_headers(end=True)": lambda rig, stream: rig.connection.send_headers(stream, TRAILERS, end=True),
    "send_data": lambda rig, stream: rig.connection.send_data(stream, (b"x",), 1),
    "send_data(end=True)": lambda rig, stream: rig.connection.send_data(stream, (), 0, end=True),
    "reset": lambda rig, stream: rig.connection.reset(stream),
}


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize(("row", "column", "cell"), [cell for cell in table("sent") if cell[2]])
def test_what_may_be_sent_is_what_the_page_says(row: str, column: str, cell: str, client: bool) -> None:
    if column == "idle" and not client:
        return
    rig, stream = in_state(column, client)
    stream = stream or RecordingStream()
    before = stream.state
    result = "taken"
    try:
        CALLS[row](rig, stream)
    except LocalProtocolError:
        result = "refused"
    sent = rig.sent()
    if stream.state is not before:
        result = f"→ {NAMES[stream.state]}"
    elif not sent and result != "refused":
        result = "ignored"

    assert result == cell
    assert bool(sent) is (result == "taken" or result.startswith("→"))
    assert all(part.stream_id == 1 for part in sent)


def test_the_page_knows_every_call() -> None:
    assert [row for row, column, _ in table("sent") if column == "open"] == list(CALLS)


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    figures = re.findall(r"`(?:(\w+)\.)?([A-Z_]+|\w+)` (\d+)", PAGE.partition("## Bounds")[2].partition("\n\nSo")[0])
    assert len(figures) >= 10
    for module, name, value in figures:
        if module == "LocalSettings":
            found = getattr(LocalSettings(), name)
        else:
            found = getattr(importlib.import_module(f"ziggurat.services.http2.{module}"), name)

        assert found == int(value), name


def test_the_page_names_every_module() -> None:
    folder = Path(__file__).parents[3] / "services/http2"
    named = set(re.findall(r"`(\w+\.py)`", PAGE.partition("## Two kinds")[0]))

    assert named == {path.name for path in folder.glob("*.py")} - {"__init__.py"}

from __future__ import annotations

import sys
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, StreamReset
from h2.exceptions import ProtocolError
from hyperframe.frame import DataFrame, Frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.services.channel.engine import Engine, h2_configuration, make_engine
from ziggurat.services.channel.options import ConnectionOptions

REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), (":authority", "h")]


def opened(*, stock: bool = False, **options: Any) -> H2Connection:
    """A client's engine with streams 1 and 3 open."""
    engine = make_engine(h2_configuration(client_side=True), ConnectionOptions(stock_h2=stock, **options))
    for stream_id in (1, 3):
        engine.send_headers(stream_id, REQUEST)
    engine.data_to_send()
    return engine


def test_the_engine_is_ours_or_stock() -> None:
    assert type(opened()) is Engine
    assert type(opened(stock=True)) is H2Connection


@pytest.mark.parametrize("stock", [False, True])
def test_the_first_bytes_are_preface_settings_and_window(stock: bool) -> None:
    options = ConnectionOptions(stock_h2=stock, connection_window=70_000)
    sent = make_engine(h2_configuration(client_side=True), options).data_to_send()
    server = H2Connection(config=H2Configuration(client_side=False))
    server.initiate_connection()
    server.receive_data(sent)
    assert server.remote_settings.max_frame_size == options.max_frame_size
    assert server.remote_settings.initial_window_size == options.stream_window
    assert server.remote_settings.enable_push == 0
    assert server.outbound_flow_control_window == 70_000


def test_no_frame_is_formatted_for_a_log(frames: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(frame: Frame) -> str:
        raise AssertionError("somebody formats a frame")

    monkeypatch.setattr(Frame, "__repr__", refuse)
    engine = opened()
    events = engine.receive_data(frames.settings() + frames.response(1) + frames.message(1, b"x") + frames.window(0, 5))
    assert any(isinstance(event, DataReceived) for event in events)
    with pytest.raises(AssertionError, match="somebody"):
        opened(stock=True).receive_data(frames.settings())


def test_no_library_is_changed_for_the_rest_of_the_process() -> None:
    opened()
    for name in ("h2", "hyperframe", "hpack"):
        changed = [
            f"{module.__name__}.{key}"
            for module in list(sys.modules.values())
            if getattr(module, "__name__", "").split(".")[0] == name
            for key, value in vars(module).items()
            if getattr(value, "__module__", "").startswith("ziggurat")
        ]
        assert changed == []
    assert H2Connection._receive_frame.__module__ == "h2.connection"


@pytest.mark.parametrize("stock", [False, True])
def test_a_goaway_is_reported_and_does_not_end_the_streams(frames: Any, stock: bool) -> None:
    engine = opened(stock=stock)
    (event,) = engine.receive_data(frames.goaway(3, 0, b"bye"))
    assert isinstance(event, ConnectionTerminated)
    assert (event.error_code, event.last_stream_id, event.additional_data) == (ErrorCodes.NO_ERROR, 3, b"bye")
    assert engine.receive_data(frames.response(1) + frames.message(1, b"x"))
    engine.send_data(1, b"still here")
    (event,) = engine.receive_data(frames.goaway(3, 0x99))
    assert isinstance(event, ConnectionTerminated)
    assert event.error_code == 0x99


def test_good_frames_before_a_bad_one_are_reported(frames: Any) -> None:
    engine = opened()
    events = engine.receive_data(frames.response(1) + frames.message(1, b"x") + frames.data(5, b"no such stream"))
    assert [type(event).__name__ for event in events] == ["ResponseReceived", "DataReceived"]
    assert isinstance(engine.error, ProtocolError)
    assert engine.data_to_send()[3] == 7  # a GOAWAY


def test_data_for_a_stream_that_we_reset_gives_its_window_back(frames: Any) -> None:
    engine = opened(connection_window=65_535)
    engine.reset_stream(1, ErrorCodes.CANCEL)
    engine.data_to_send()
    before = engine.inbound_flow_control_window
    engine.receive_data(frames.response(3))
    for _ in range(4):
        assert engine.receive_data(frames.data(1, bytes(16_000))) == []
    assert engine.error is None
    assert engine.inbound_flow_control_window > before - 64_000


def test_padding_counts_as_the_standard_says(frames: Any) -> None:
    engine = opened()
    engine.receive_data(frames.response(1))
    (event,) = engine.receive_data(frames.data(1, b"abc", pad=9))
    assert isinstance(event, DataReceived)
    assert (event.data, event.flow_controlled_length) == (b"abc", 13)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 16_384])
@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("pad", [None, 0, 7])
def test_what_is_sent_is_what_stock_h2_sends(size: int, end: bool, pad: int | None) -> None:
    ours, stock = opened(), opened(stock=True)
    body = bytes(size)[: 16_384 - (0 if pad is None else pad + 1)]
    for engine in (ours, stock):
        engine.send_data(1, body, end_stream=end, pad_length=pad)
    assert ours.data_to_send() == stock.data_to_send()
    assert ours.outbound_flow_control_window == stock.outbound_flow_control_window


def outcome(engine: H2Connection, data: bytes) -> tuple[list[str], bytes, str | None]:
    """What an engine makes of ``data``: events, answer, error."""
    events: list[Any] = []
    error: ProtocolError | None = None
    try:
        events = list(engine.receive_data(data))
    except ProtocolError as caught:
        error = caught
    error = error or getattr(engine, "error", None)
    if error is not None:
        events = []  # stock h2 drops them
    shown = [
        f"{type(event).__name__} {getattr(event, 'stream_id', '')} {getattr(event, 'data', '')}" for event in events
    ]
    return shown, engine.data_to_send(), None if error is None else f"{type(error).__name__}: {error}"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 12), max_size=12), st.booleans())
def test_the_engine_does_what_stock_h2_does(frames: Any, choices: list[int], reset: bool) -> None:
    make = type(frames)()
    made = {
        0: lambda: make.data(1, b"data"),
        1: lambda: make.data(1, b"data", end=True),
        2: lambda: make.data(3, b"data", pad=3),
        3: lambda: make.reset(1),
        4: lambda: make.window(1, 10),
        5: lambda: make.window(0, 2**31 - 1),
        6: lambda: make.window(3, 2**31 - 1),
        7: lambda: make.data(5, b"data"),
        8: lambda: make.response(1),
        9: lambda: make.trailers(1),
        10: lambda: make.response(3),
        11: lambda: make.settings({4: 100}),
        12: lambda: DataFrame(1, b"x" * 300_000).serialize(),
    }
    start = make.response(1) + make.response(3)
    data = [start, *(made[choice]() for choice in choices)]
    ours, stock = opened(), opened(stock=True)
    for engine in (ours, stock):
        if reset:
            engine.reset_stream(3, 8)
    for piece in data:
        seen = outcome(ours, piece)
        assert seen == outcome(stock, piece)
        if seen[2] is not None:
            break


def test_a_reset_stream_is_reported(frames: Any) -> None:
    (event,) = opened().receive_data(frames.reset(1, 7))
    assert isinstance(event, StreamReset)
    assert event.error_code == ErrorCodes.REFUSED_STREAM


def test_settings_take_little_memory_and_change_as_ever(frames: Any) -> None:
    engine = opened()

    engine.receive_data(frames.settings())

    values = [*vars(engine.local_settings)["_settings"].values(), *vars(engine.remote_settings)["_settings"].values()]
    assert sum(map(sys.getsizeof, values)) < 2000
    engine.update_settings({3: 7})
    engine.data_to_send()
    engine.receive_data(b"\0\0\0\4\1\0\0\0\0" * 2)  # the peer acknowledges both
    assert engine.local_settings.max_concurrent_streams == 7

"""The one place where the HTTP/2 engine is made.

h2 4.1 and later formats every inbound frame for a log line that nobody reads (`repr(frame)` in `_receive_frame`), and
for a DATA frame that means the whole payload in hexadecimal: two thirds of what a large download costs. `Engine` is an
`H2Connection` that leaves it out, for our own connections only; no library is changed for the rest of the process.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event
from h2.exceptions import ProtocolError, StreamClosedError, StreamIDTooLowError
from h2.frame_buffer import FrameBuffer as H2FrameBuffer
from h2.settings import SettingCodes, Settings
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, SettingsFrame

from ziggurat.services.channel.frame_buffer import FrameBuffer

if TYPE_CHECKING:
    from h2._typing import Buffer

    from ziggurat.services.channel.options import ConnectionOptions

__all__ = ["Engine", "forget", "h2_configuration", "make_engine"]


Answer = tuple[list[Frame], list[Event]]
"""What h2 makes of a frame: the frames to send, and the events."""

FRAME_HEADER = struct.Struct(">HBBBL").pack
"""Length in two parts, type, flags, stream (RFC 9113 4.1)."""


KNOWN_SETTINGS = frozenset(SettingCodes)


class _Failed(Frame):
    """Stands for a frame that was refused, so that h2 deals with the error in its own way."""

    def __init__(self, error: Exception) -> None:
        super().__init__(0)
        self.error = error

    def __repr__(self) -> str:
        return f"a frame refused with {self.error!r}"


class _Values(list[int]):
    """The values of a setting. h2 keeps each in a deque, which takes 760 bytes, a dozen times for each connection."""

    __slots__ = ()

    def popleft(self) -> int:
        return self.pop(0)


class Engine(H2Connection):
    """h2 without the log line per frame, and without losing what came before a frame that breaks the rules.

    Attributes:
        error: why the peer may not go on, once it broke the protocol; the GOAWAY is then among the data to send.
    """

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config=config)
        self.error: ProtocolError | None = None
        self._events: list[Event] = []
        self._dispatch = _dispatch_table(self)
        self._dispatch[_Failed] = self._raise_error
        if hasattr(self.incoming_buffer, "_data"):  # h2 before 4.3 keeps what is incomplete elsewhere
            self.incoming_buffer = FrameBuffer(server=not config.client_side)

    def receive_data(self, data: Buffer) -> list[Event]:
        """Take what arrived, and return the events of all good frames in it, also when a bad one follows them."""
        events: list[Event] = []
        self._events = events
        try:
            super().receive_data(data)
        except ProtocolError as error:
            self.error = error
        self._events = []  # or what the last ones hold would stay for as long as the engine
        return events

    def _receive_frame(self, frame: Frame) -> list[Event]:
        if isinstance(frame, SettingsFrame):
            # Unknown ones must be ignored (RFC 9113 6.5.2). h2 keeps them all, and walks over them at each frame.
            frame.settings = {code: value for code, value in frame.settings.items() if code in KNOWN_SETTINGS}
        try:
            frames, events = self._dispatch[frame.__class__](frame)
        except (StreamClosedError, StreamIDTooLowError) as error:
            events = super()._receive_frame(_Failed(error))
        else:
            if frames:
                self._prepare_for_sending(frames)
        self._events += events
        return []

    def _prepare_for_sending(self, frames: list[Frame]) -> None:
        frame = frames[0] if len(frames) == 1 else None
        if not isinstance(frame, DataFrame) or "PADDED" in frame.flags:
            super()._prepare_for_sending(frames)
            return
        # hyperframe puts a frame together in three steps, each with a copy of the payload.
        frame.body_len = size = len(frame.data)
        self._data_to_send += FRAME_HEADER(size >> 8, size & 0xFF, 0, "END_STREAM" in frame.flags, frame.stream_id)
        self._data_to_send += frame.data

    @staticmethod
    def _raise_error(frame: _Failed) -> Answer:
        raise frame.error


def h2_configuration(client_side: bool) -> H2Configuration:
    """h2's settings as grpclib has them, but for the encoding of header values.

    With grpclib's ``ascii`` a single byte beyond it in any header ends the connection and every call on it.
    """
    return H2Configuration(
        client_side=client_side,
        header_encoding="latin-1",
        validate_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_inbound_headers=False,
        normalize_outbound_headers=False,
    )


def make_engine(config: H2Configuration, options: ConnectionOptions) -> H2Connection:
    """Make the engine of one connection, with its preface, SETTINGS and window among the data to send."""
    engine = Engine(config)
    stream_window, connection_window = options.windows
    # One SETTINGS frame says everything, rather than one with h2's defaults and two that take them back.
    engine.local_settings = Settings(
        client=bool(config.client_side),
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_CONCURRENT_STREAMS: 100,
            SettingCodes.MAX_HEADER_LIST_SIZE: engine.DEFAULT_MAX_HEADER_LIST_SIZE,
            SettingCodes.INITIAL_WINDOW_SIZE: stream_window,
            SettingCodes.MAX_FRAME_SIZE: options.max_frame_size,
        },
    )
    engine.max_inbound_frame_size = options.max_frame_size
    if isinstance(engine, Engine):
        _make_small(engine.local_settings)
        _make_small(engine.remote_settings)
    _dispatch_table(engine)[GoAwayFrame] = _receive_goaway
    engine.initiate_connection()
    if delta := connection_window - engine.inbound_flow_control_window:
        engine.increment_flow_control_window(delta)
    return engine


def forget(engine: H2Connection) -> None:
    """Take an engine apart that is done, with all that it holds of frames that are not complete or not sent.

    Its methods in its own table, and the objects around it, would keep that alive until the next garbage collection.
    """
    _dispatch_table(engine).clear()
    engine.incoming_buffer = H2FrameBuffer()
    engine.clear_outbound_data_buffer()


def _dispatch_table(engine: H2Connection) -> dict[type[Frame], Callable[[Any], Answer]]:
    table: dict[type[Frame], Callable[[Any], Answer]] = vars(engine)["_frame_dispatch_table"]
    return table


def _make_small(settings: Settings) -> None:
    values: dict[SettingCodes | int, Any] = vars(settings).get("_settings", {})
    for code, value in values.items():
        values[code] = _Values(value)


def _receive_goaway(frame: GoAwayFrame) -> Answer:
    """Report a GOAWAY and go on; h2 would refuse every later frame, but calls in flight may finish (RFC 9113 6.8)."""
    event = ConnectionTerminated()
    try:
        event.error_code = ErrorCodes(frame.error_code)
    except ValueError:
        event.error_code = cast(ErrorCodes, frame.error_code)
    event.last_stream_id = frame.last_stream_id & 0x7FFFFFFF
    event.additional_data = frame.additional_data or None
    return [], [event]

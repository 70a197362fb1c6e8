"""The same script, read by our core and by other implementations; what each makes of a step, in common words."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from tests.services.http2.peers import (
    REQUEST,
    REQUEST_FIELDS,
    RESPONSE,
    RESPONSE_FIELDS,
    TRAILER_FIELDS,
    TRAILERS,
    RecordingOwner,
    RecordingStream,
    split_frames,
)
from tests.services.http2.scripts import STREAM_WINDOW, STREAMS, Step
from ziggurat.services.http2 import Connection, HeaderSection, LocalSettings, RemoteProtocolError, Stream
from ziggurat.services.http2.frames import GOAWAY, PREFACE, RST_STREAM, settings_frame

Event = tuple[object, ...]

SETTLED = settings_frame() + settings_frame(ack=True)
LOCAL = LocalSettings(stream_window=STREAM_WINDOW, max_unread=0, max_concurrent_streams=100)

CONNECTION_ERROR = "connection error"
STREAM_ERROR = "stream error"


class Side(ABC):
    """One end of a connection, which reads a script.

    Attributes:
        failed: whether it has found a connection error.
        over: whether it has nothing more to say.
        reason: why it has found an error of either kind last, in its own words.
    """

    def __init__(self) -> None:
        self.failed = self.over = False
        self.reason = ""

    def take(self, step: Step) -> list[Event]:
        """Take a step. Return the events, pieces of data merged."""
        if self.failed:
            return []
        if step.data:
            return merged(self.read(step.data))
        self.act(step.action, step.stream_id)
        return []

    @abstractmethod
    def read(self, data: bytes) -> Iterable[Event]: ...

    @abstractmethod
    def act(self, action: str, stream_id: int) -> None: ...


def merged(events: Iterable[Event]) -> list[Event]:
    result: list[Event] = []
    for event in events:
        if event[0] == "data" and result and result[-1][:2] == event[:2]:
            result[-1] = (*event[:2], result[-1][2] + event[2])  # type: ignore[operator]
        elif event[0] != "data" or event[2]:
            result.append(event)
    return result


class ReportingStream(RecordingStream):
    """Reports to a log that all streams share."""

    __slots__ = ("log", "side")

    def __init__(self, side: Ours) -> None:
        super().__init__(reads=False)
        self.side = side

    def on_headers(self, section: HeaderSection, ends: bool) -> None:
        self.side.log.append(("headers", self.stream_id, section.fields))

    def on_data(self, data: bytes, start: int, end: int) -> None:
        self.side.log.append(("data", self.stream_id, data[start:end]))

    def on_end(self) -> None:
        self.side.log.append(("end", self.stream_id))

    def on_reset(self, code: int) -> None:
        self.side.log.append(("reset", self.stream_id, code))

    def on_fault(self, reason: str) -> None:
        self.side.log.append((STREAM_ERROR, self.stream_id))
        self.side.reason = reason


class Ours(Side, RecordingOwner):
    def __init__(self, *, client: bool) -> None:
        Side.__init__(self)
        RecordingOwner.__init__(self)
        self.log: list[Event] = []
        self.connection = self.core = Connection(self, LOCAL, client=client)
        self.streams: dict[int, Stream] = {}
        if client:
            for stream_id in STREAMS:
                stream = self.streams[stream_id] = ReportingStream(self)
                self.core.open(stream, REQUEST)
        self.core.receive((b"" if client else PREFACE) + SETTLED)
        self.log.clear()
        self.core.unread_answers = 0

    def read(self, data: bytes) -> Iterable[Event]:
        try:
            self.core.receive(data)
        except RemoteProtocolError as error:
            self.failed = True
            self.reason = str(error)
            self.log.append((CONNECTION_ERROR,))
        events, self.log = self.log, []
        return events

    def can(self, step: Step) -> bool:
        """Return whether the stream lets us do this now."""
        stream = self.streams.get(step.stream_id)
        if stream is None or stream.closed:
            return False
        if step.action == "reset":
            return True
        if step.action != "respond" and not self.core.client:
            return False  # a response begins with headers
        return not stream.local_ended and (step.action != "data" or self.core.room(stream) >= 5)

    def act(self, action: str, stream_id: int) -> None:
        stream = self.streams[stream_id]
        if action == "reset":
            self.core.reset(stream)
        elif action == "respond":
            self.core.send_headers(stream, TRAILERS if self.core.client else RESPONSE, end=True)
        elif action == "data":
            self.core.send_data(stream, (b"hello",), 5)
        elif action == "end":
            self.core.send_data(stream, (), 0, end=True)

    def on_settings(self) -> None:
        self.log.append(("settings",))

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        self.log.append(("goaway", last_stream_id, code, debug))

    def on_ping_ack(self, data: bytes) -> None:
        self.log.append(("ping ack", data))

    def on_request(self, section: HeaderSection) -> Stream | None:
        stream = ReportingStream(self)
        self.streams[self.core._last_peer_id] = stream
        return stream

    def on_malformed_request(self, reason: str) -> None:
        self.log.append((STREAM_ERROR, self.core._last_peer_id))
        self.reason = reason


class H2(Side):
    """h2, with all its checks on."""

    def __init__(self, *, client: bool) -> None:
        super().__init__()
        config = h2.config.H2Configuration(client_side=client, header_encoding=None, normalize_inbound_headers=False)
        self.core = h2.connection.H2Connection(config)
        self.core.local_settings = h2.settings.Settings(
            client=client,
            initial_values={
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: LOCAL.max_header_list_size,
                **({h2.settings.SettingCodes.ENABLE_PUSH: 0} if client else {}),
            },
        )
        self.core.initiate_connection()
        if client:
            for stream_id in STREAMS:
                self.core.send_headers(stream_id, list(REQUEST_FIELDS))
        self.core.receive_data((b"" if client else PREFACE) + SETTLED)

    def read(self, data: bytes) -> Iterable[Event]:
        try:
            events = self.core.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.failed = True
            self.reason = f"{type(error).__name__}: {error}"
            return [(CONNECTION_ERROR,)]
        return [common for event in events if (common := self.common(event))]

    def common(self, event: h2.events.Event) -> Event | None:
        match event:
            case h2.events.RequestReceived() | h2.events.ResponseReceived() | h2.events.TrailersReceived():
                return "headers", event.stream_id, tuple((bytes(name), bytes(value)) for name, value in event.headers)
            case h2.events.DataReceived():
                return "data", event.stream_id, event.data
            case h2.events.StreamEnded():
                return "end", event.stream_id
            case h2.events.StreamReset(remote_reset=True):
                return "reset", event.stream_id, int(event.error_code)
            case h2.events.StreamReset():
                self.reason = f"{event.error_code}"
                return STREAM_ERROR, event.stream_id
            case h2.events.RemoteSettingsChanged():
                return ("settings",)
            case h2.events.ConnectionTerminated():
                self.over = True  # h2 ends all streams with it; RFC 9113 6.8 lets those go on that the peer has seen
                return "goaway", event.last_stream_id, int(event.error_code or 0), event.additional_data or b""
            case h2.events.PingAckReceived():
                return "ping ack", event.ping_data
        return None

    def act(self, action: str, stream_id: int) -> None:
        if action == "reset":
            self.core.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        elif action == "respond":
            client = self.core.config.client_side
            self.core.send_headers(stream_id, list(TRAILER_FIELDS if client else RESPONSE_FIELDS), end_stream=True)
        elif action == "data":
            self.core.send_data(stream_id, b"hello")
        elif action == "end":
            self.core.end_stream(stream_id)


class Ngh2(Side):
    """nghttp2, through its binding `ngh2`."""

    def __init__(self, *, client: bool) -> None:
        super().__init__()
        self.open = set(STREAMS if client else ())
        self.ngh2 = importlib.import_module("ngh2")
        self.client = client
        config = self.ngh2.Configuration(
            auto_window_update=False, max_continuations=100, max_settings=64, max_inbound_header_list_size=1 << 20
        )
        self.core = self.ngh2.Connection(self.ngh2.Role.CLIENT if client else self.ngh2.Role.SERVER, config)
        local = {3: 100, 4: STREAM_WINDOW, 6: LOCAL.max_header_list_size}
        self.core.initiate_connection({**local, 2: 0} if client else local)
        if client:
            for _ in STREAMS:
                self.core.send_request(list(REQUEST_FIELDS))
        self.core.data_to_send()
        self.core.receive_data((b"" if client else PREFACE) + SETTLED)
        self.core.data_to_send()
        for event in self.core.events():
            self.common(event)

    def read(self, data: bytes) -> Iterable[Event]:
        try:
            self.core.receive_data(data)
        except self.ngh2.NGH2Error as error:
            self.failed = True
            self.reason = f"{type(error).__name__}: {error}"
            return [(CONNECTION_ERROR,)]
        events: list[Event] = []
        for event in self.core.events():
            events += self.common(event)
        for sent in split_frames(self.core.data_to_send()):
            if sent.kind == RST_STREAM:
                self.reason = f"RST_STREAM {sent.payload[3]}"
                events.append((STREAM_ERROR, sent.stream_id))
            elif sent.kind == GOAWAY:
                self.failed = True
                self.reason = f"GOAWAY {sent.payload[7]} {sent.payload[8:].decode()}"
                events.append((CONNECTION_ERROR,))
        for event in self.core.events():
            self.common(event)
        return events

    def common(self, event: Any) -> list[Event]:
        kind = type(event).__name__
        if kind in ("RequestReceived", "ResponseReceived", "TrailersReceived"):
            fields = tuple((bytes(name), bytes(value)) for name, value in event.headers)
            ended = getattr(event, "end_stream", True)
            self.open.add(event.stream_id)
            return [("headers", event.stream_id, fields), *([("end", event.stream_id)] if ended else [])]
        if kind == "DataReceived":
            ended = event.end_stream
            return [("data", event.stream_id, event.data), *([("end", event.stream_id)] if ended else [])]
        if kind == "StreamClosed":
            self.open.discard(event.stream_id)
        if kind == "StreamReset" and event.stream_id in self.open:
            return [("reset", event.stream_id, event.error_code)]
        if kind == "SettingsReceived":
            return [("settings",)]
        if kind == "GoAwayReceived":
            self.over = True  # it ends the streams beyond the last one by itself
            return [("goaway", event.last_stream_id, event.error_code, event.debug_data)]
        if kind == "PingAcknowledged":
            return [("ping ack", event.opaque_data)]
        return []

    def act(self, action: str, stream_id: int) -> None:
        try:
            if action == "reset":
                self.core.reset_stream(stream_id, 8)
            elif action == "respond" and self.client:
                self.core.send_trailers(stream_id, list(TRAILER_FIELDS))
            elif action == "respond":
                self.core.send_response(stream_id, list(RESPONSE_FIELDS), end_stream=True)
            elif action == "data":
                self.core.send_data(stream_id, b"hello")
            elif action == "end":
                self.core.end_stream(stream_id)
        except self.ngh2.NGH2Error:
            self.over = True  # its bodies have states of their own
        self.core.data_to_send()
        for event in self.core.events():
            self.common(event)

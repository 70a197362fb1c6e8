"""Attacks below gRPC: other protocols, and the abuses of HTTP/2 that have a CVE.

As in `test_hostile_peers`, memory is bounded, the dialer is dropped or costs nothing, the log says why, and the good
peer is undisturbed.
"""

from __future__ import annotations

import asyncio
import re
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream
from h2.config import H2Configuration
from h2.connection import H2Connection
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.node.hostile import BAD, FLOOD_BOUND, MIB, NODE, READY, VERACK, World, peak, version, world
from tests.node.nodes import PORT, at
from ziggurat.node.inbound.server import CLOSE_TIMEOUT, REQUEST_TIMEOUT
from ziggurat.node.wire.p2p_pb2 import KaspadMessage
from ziggurat.node.wire.stream import MESSAGE_STREAM
from ziggurat.services import Uri

pytestmark = pytest.mark.asyncio_only

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Dialer:
    """One connection to the node, driven by bytes or frames."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.encoder = Encoder()
        self.received = 0
        self.credit = 0

    async def send_raw(self, data: bytes) -> None:
        await self.stream.send(data)

    async def frames(self, *frames: Frame) -> None:
        await self.send_raw(b"".join(frame.serialize() for frame in frames))

    async def preface(self) -> None:
        """Send the preface and the initial SETTINGS."""
        engine = H2Connection(H2Configuration(client_side=True))
        engine.initiate_connection()
        await self.send_raw(engine.data_to_send())

    def request(
        self, number: int, path: str = MESSAGE_STREAM, *more: tuple[str, str], without: str = ""
    ) -> HeadersFrame:
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "node"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *more,
        ]
        frame = HeadersFrame(number, self.encoder.encode([header for header in headers if header[0] != without]))
        frame.flags.add("END_HEADERS")
        return frame

    async def send(self, *messages: KaspadMessage) -> None:
        for message in messages:
            body = message.SerializeToString()
            await self.frames(DataFrame(1, b"\0" + len(body).to_bytes(4, "big") + body))

    async def become_a_peer(self) -> None:
        """Complete a proper handshake on stream 1."""
        await self.preface()
        await self.frames(self.request(1))
        await self.send(version(), VERACK, READY)
        await anyio.sleep(1)

    async def listen(self) -> None:
        """Read and discard until the node closes the connection."""
        try:
            while True:
                self.received += len(await self.stream.receive(65536))
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass


Attack = Callable[[Dialer], Awaitable[None]]


async def tls(dialer: Dialer) -> None:
    await dialer.send_raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512))


async def http_1(dialer: Dialer) -> None:
    await dialer.send_raw(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")


async def bitcoin(dialer: Dialer) -> None:
    await dialer.send_raw(b"\xf9\xbe\xb4\xd9version\0\0\0\0\0\x64\0\0\0" + bytes(104))


async def nothing(dialer: Dialer) -> None:
    await anyio.lowlevel.checkpoint()


async def only_the_preface(dialer: Dialer) -> None:
    await dialer.preface()


async def one_byte_a_second(dialer: Dialer) -> None:
    for byte in PREFACE:
        await dialer.send_raw(bytes([byte]))
        await anyio.sleep(1)


async def settings_and_pings_but_no_request(dialer: Dialer) -> None:
    await dialer.preface()
    while True:
        await dialer.frames(PingFrame(0, b"01234567"), SettingsFrame(0))
        await anyio.sleep(0.25)


async def another_path(dialer: Dialer) -> None:
    await dialer.preface()
    await dialer.frames(dialer.request(1, "/protowire.RPC/MessageStream"))


async def no_method(dialer: Dialer) -> None:
    await dialer.preface()
    await dialer.frames(dialer.request(1, without=":method"))


async def no_path(dialer: Dialer) -> None:
    await dialer.preface()
    await dialer.frames(dialer.request(1, without=":path"))


async def a_frame_of_16_mib(dialer: Dialer) -> None:
    await dialer.preface()
    await dialer.send_raw(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(16384))


async def headers_without_end(dialer: Dialer) -> None:
    """CVE-2024-27316 and the like: endless CONTINUATION frames."""
    await dialer.preface()
    await dialer.frames(HeadersFrame(1, dialer.encoder.encode([(":method", "POST")])))
    more = ContinuationFrame(1, b"\0\x01a\x7f\x80\x3e" + bytes(8000)).serialize()
    for _ in range(20_000):
        await dialer.send_raw(more)


async def headers_in_large_frames(dialer: Dialer) -> None:
    """As many bytes in few frames."""
    await dialer.preface()
    await dialer.send_raw(b"\x03\xff\xff\x01\0\0\0\0\x01")
    for _ in range(16):
        await dialer.send_raw(bytes(16384))


def unknown_settings(codes: range) -> bytes:
    body = b"".join(struct.pack(">HI", code, 1) for code in codes)  # hyperframe would cut codes to a byte
    return struct.pack(">HBBBI", len(body) >> 8, len(body) & 0xFF, 4, 0, 0) + body


async def a_thousand_settings_in_a_frame(dialer: Dialer) -> None:
    await dialer.preface()
    await dialer.send_raw(unknown_settings(range(16, 1016)))


async def header_bomb(dialer: Dialer) -> None:
    """Many one-byte references to one large header in the table."""
    await dialer.preface()
    large = [("bomb", "x" * 4000)] * 15_000
    await dialer.frames(dialer.request(1, MESSAGE_STREAM, *large))


async def a_window_too_large(dialer: Dialer) -> None:
    await dialer.become_a_peer()
    await dialer.frames(*[WindowUpdateFrame(1, 0x7FFFFFFF)] * 2)


async def data_on_a_stream_that_is_not_open(dialer: Dialer) -> None:
    await dialer.become_a_peer()
    await dialer.frames(DataFrame(3, bytes(16384)))


async def a_thousand_streams(dialer: Dialer) -> None:
    await dialer.become_a_peer()
    await dialer.frames(*[dialer.request(number) for number in range(3, 2003, 2)])


async def rapid_reset(dialer: Dialer) -> None:
    """CVE-2023-44487, beside an open stream."""
    await dialer.become_a_peer()
    for number in range(3, 40_003, 2):
        await dialer.frames(dialer.request(number), RstStreamFrame(number, 8))


async def empty_data(dialer: Dialer) -> None:
    """CVE-2019-9518."""
    await dialer.become_a_peer()
    for _ in range(100):
        await dialer.frames(*[DataFrame(1, b"")] * 1000)


async def settings_floods(dialer: Dialer) -> None:
    """CVE-2019-9515, with the replies read."""
    await dialer.become_a_peer()
    for number in range(100):
        await dialer.frames(*[SettingsFrame(0, {4: 65535 + number, 1: 4096 - number})] * 200)


async def frames_that_mean_nothing(dialer: Dialer) -> None:
    """CVE-2019-9513, and unknown frame types."""
    await dialer.become_a_peer()
    unknown = ExtensionFrame(0xBB, 0, body=bytes(100))
    unknown.body_len = 100  # hyperframe does not set it
    for number in range(100):
        await dialer.frames(*[PriorityFrame(3 + 2 * number, stream_weight=9)] * 100)
        await dialer.frames(*[unknown] * 100)
        await dialer.frames(*[WindowUpdateFrame(1, 1)] * 100)


@dataclass(frozen=True)
class Case:
    """An attack, the seconds until the node must have closed, and a regular expression for the logged reason."""

    attack: Attack
    within: float
    reason: str
    event: str = "peer.refused"


AT_ONCE = 2.0
NO_REQUEST = f"^no request for {MESSAGE_STREAM} within 10 s$"
CASES = [
    Case(tls, AT_ONCE, "the peer does not speak HTTP/2"),
    Case(http_1, AT_ONCE, "the peer does not speak HTTP/2"),
    Case(bitcoin, AT_ONCE, "the peer does not speak HTTP/2"),
    Case(nothing, REQUEST_TIMEOUT + 1, NO_REQUEST),
    Case(only_the_preface, REQUEST_TIMEOUT + 1, NO_REQUEST),
    Case(one_byte_a_second, REQUEST_TIMEOUT + 1, NO_REQUEST),
    Case(settings_and_pings_but_no_request, REQUEST_TIMEOUT + 1, NO_REQUEST),
    Case(another_path, CLOSE_TIMEOUT + 1, "a request for /protowire.RPC/MessageStream instead of /protowire.P2P"),
    Case(no_method, AT_ONCE, "the request has no :method"),
    Case(no_path, AT_ONCE, "the request has no :path"),
    Case(a_frame_of_16_mib, AT_ONCE, "HTTP/2 protocol error"),
    Case(headers_without_end, AT_ONCE, "HTTP/2 protocol error: a header block of more than 131072 bytes"),
    Case(headers_in_large_frames, AT_ONCE, "HTTP/2 protocol error: a header block of more than 131072 bytes"),
    Case(a_thousand_settings_in_a_frame, AT_ONCE, "more than 64 settings at once"),
    Case(header_bomb, AT_ONCE, "HTTP/2 protocol error"),
    Case(a_window_too_large, AT_ONCE, "WINDOW_UPDATE of 2147483647 bytes", "peer.disconnected"),
    Case(
        data_on_a_stream_that_is_not_open,
        AT_ONCE,
        "HTTP/2 protocol error: DATA on stream 3, which was never opened",
        "peer.disconnected",
    ),
    Case(a_thousand_streams, AT_ONCE, "more than 8 requests on one connection", "peer.disconnected"),
    Case(empty_data, AT_ONCE, "too many frames that do nothing", "peer.disconnected"),
    Case(settings_floods, AT_ONCE, "too many frames that do nothing", "peer.disconnected"),
    Case(frames_that_mean_nothing, AT_ONCE, "too many frames that do nothing", "peer.disconnected"),
    Case(rapid_reset, AT_ONCE, "more than 8 requests on one connection", "peer.disconnected"),
]


async def attacked(here: World, attack: Attack) -> float:
    """Dial, attack, and wait until the node closes the connection; return how many seconds that took."""
    started = anyio.current_time()
    stream = await here.network.host(BAD)(Uri.parse(f"http://{NODE}:{PORT}"))
    dialer = Dialer(stream)
    with anyio.fail_after(100):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attack_until_cut_off, dialer, attack)
            await dialer.listen()
            took = anyio.current_time() - started
            tasks.cancel_scope.cancel()
    await stream.aclose()
    return took


async def attack_until_cut_off(dialer: Dialer, attack: Attack) -> None:
    try:
        await attack(dialer)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.attack.__name__)
async def test_an_attack_is_cut_off_and_logged(case: Case) -> None:
    async with world() as here:
        with peak() as memory:
            assert await attacked(here, case.attack) <= case.within
        await anyio.sleep(CLOSE_TIMEOUT + 1)
        assert here.logged_reasons("peer.refused") + here.logged_reasons("peer.disconnected") == here.logged_reasons(
            case.event
        )
        [reason] = here.logged_reasons(case.event)
        assert re.search(case.reason, reason), reason
        assert memory.grown < FLOOD_BOUND
        assert here.adaptor._server.counter.open == 1
        await here.check_undisturbed()


@pytest.mark.parametrize(
    "header",
    [("x-bin", "!!!not base64"), ("x-bin", "\u00ff"), ("grpc-timeout", "0n"), ("grpc-timeout", "soon"), ("x", "")],
)
async def test_odd_metadata_of_a_request_changes_nothing(
    header: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def attack(dialer: Dialer) -> None:
        await dialer.preface()
        await dialer.frames(dialer.request(1, MESSAGE_STREAM, header))
        await dialer.send(version(), VERACK, READY)
        await anyio.sleep(1)
        assert len(here.adaptor.peers()) == 2
        await dialer.stream.aclose()

    async with world() as here:
        await attacked(here, attack)

    assert caplog.text == ""


async def a_message_in_frames_of_two_bytes(dialer: Dialer) -> None:
    head, size = DataFrame(1, b"xx").serialize()[:-2], 100_000
    await dialer.frames(DataFrame(1, b"\0" + size.to_bytes(4, "big")))
    for _ in range(size // 2000 - 1):  # all but the end
        await dialer.send_raw((head + b"xx") * 1000)


async def all_unknown_settings(dialer: Dialer) -> None:
    """Each of them kept would take 57 MB, and milliseconds for each frame that follows."""
    for first in range(16, 65_536, 64):
        await dialer.send_raw(unknown_settings(range(first, min(first + 64, 65_536))))
    started = time.perf_counter()
    await dialer.frames(*[SettingsFrame(0)] * 1000)
    await anyio.sleep(1)
    assert time.perf_counter() - started < 1


ALLOWED_BOUND = 4 * MIB
"""Bytes. A message of 400,000 bytes in pieces of two, kept separately, would take 50 bytes each."""


@pytest.mark.parametrize(
    "attack",
    [a_message_in_frames_of_two_bytes, all_unknown_settings],
    ids=lambda attack: attack.__name__,
)
async def test_a_flood_that_is_allowed_costs_no_memory(attack: Attack) -> None:
    async def as_a_peer(dialer: Dialer) -> None:
        await dialer.become_a_peer()
        with peak() as memory:
            await attack(dialer)
            await anyio.sleep(1)
        assert memory.grown < ALLOWED_BOUND
        await here.check_still_connected()
        completed.append(attack)
        await dialer.stream.aclose()

    completed: list[Attack] = []
    async with world() as here:
        await attacked(here, as_a_peer)
        assert completed
        await anyio.sleep(5)
        assert not here.bad_is_connected
        await here.check_undisturbed()


REQUEST = b"\x01\x04\0\0\0\x01"
"""The header of a HEADERS frame with END_HEADERS on stream 1, without the length."""


class Server(asyncio.Protocol):
    """A server that the node dials: it sends ``hello``, and after the request ``again``, up to ``times`` times."""

    def __init__(self, hello: bytes, again: bytes = b"", times: int = 0) -> None:
        self.hello = hello
        self.again = again
        self.times = times
        self.closed = False
        self.paused = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport
        transport.write(self.hello)

    def data_received(self, data: bytes) -> None:
        if REQUEST in data:
            self.resume_writing()

    def go_on(self) -> None:
        if not self.paused and not self.closed and self.times:
            self.times -= 1
            self.transport.write(self.again)
            asyncio.get_running_loop().call_soon(self.go_on)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.go_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.closed = True


def response(*headers: tuple[str, str], end: bool = True) -> bytes:
    frame = HeadersFrame(1, Encoder().encode(headers))
    if end:
        frame.flags.add("END_HEADERS")
    return frame.serialize()


HELLO = SettingsFrame(0).serialize()
OK = (":status", "200"), ("content-type", "application/grpc")
FLOODS = {
    "TLS": (lambda: Server(b"\x15\x03\x01\x00\x02\x02\x46"), "the peer speaks TLS"),
    "HTTP/1": (lambda: Server(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the peer speaks HTTP/1.1"),
    "a frame of 16 MiB": (lambda: Server(HELLO, b"\xff\xff\xff\x01\0\0\0\0\x01" + bytes(9000), 2000), "16777215 bytes"),
    "headers without end": (
        lambda: Server(
            HELLO, response(*OK, end=False) + ContinuationFrame(1, b"\0\x01a\x01b" * 1500).serialize() * 99, 99
        ),
        "a header block of more than 131072 bytes",
    ),
    "a thousand SETTINGS in a frame": (
        lambda: Server(HELLO + unknown_settings(range(16, 1016))),
        "more than 64 settings at once",
    ),
    "headers that grow": (
        lambda: Server(HELLO, response(*OK, *[("bomb", "x" * 4000)] * 15_000), 1),
        "a list of headers of more than",
    ),
    "1xx without end": (
        lambda: Server(HELLO, response((":status", "103")) * 100, 200),
        "too many frames that do nothing",
    ),
    "SETTINGS without end": (lambda: Server(HELLO, HELLO * 1000, 100), "too many frames that do nothing"),
}


@pytest.mark.parametrize(("made", "word"), FLOODS.values(), ids=FLOODS)
async def test_a_hostile_server_that_we_dial_is_cut_off_as_well(made: Callable[[], Server], word: str) -> None:
    server = made()
    async with world() as here:
        await here.network.host(BAD).listener(PORT).start(lambda: server)
        with peak() as memory:
            here.service.manager.add_request(at(BAD), permanent=False)
            await anyio.sleep(20)
        [event] = [line for line in here.events if line["event"] in ("dial.failed", "peer.refused")]
        assert word in str(event.get("error", event.get("reason")))
        assert server.closed
        assert memory.grown < ALLOWED_BOUND
        await here.check_undisturbed()


ODD = {
    "no status": [("content-type", "application/grpc")],
    "a status that is no number": [(":status", "fine"), ("content-type", "application/grpc")],
    "a grpc-status that is no number": [*OK, ("grpc-status", "fine")],
    "a grpc-status out of range": [*OK, ("grpc-status", "4294967296")],
    "metadata that is not base64": [*OK, ("x-bin", "!!!")],
    "metadata that is not ASCII": [*OK, ("x-bin", "\u00ff")],
    "a message that is not percent-encoded": [*OK, ("grpc-status", "13"), ("grpc-message", "%zz%ff\u00ff")],
    "details that are no protobuf": [*OK, ("grpc-status", "13"), ("grpc-status-details-bin", "/w")],
}


@pytest.mark.parametrize("trailers", [False, True], ids=["at once", "after the response's headers"])
@pytest.mark.parametrize("headers", ODD.values(), ids=ODD)
async def test_odd_headers_of_a_server_are_its_fault(
    headers: list[tuple[str, str]], trailers: bool, caplog: pytest.LogCaptureFixture
) -> None:
    last = [header for header in headers if header not in OK and header[0] != ":status"] if trailers else headers
    block = HeadersFrame(1, Encoder().encode(last))
    block.flags.add("END_HEADERS")
    block.flags.add("END_STREAM")
    server = Server(HELLO, (response(*OK) if trailers else b"") + block.serialize(), 1)
    async with world() as here:
        await here.network.host(BAD).listener(PORT).start(lambda: server)
        here.book.add([at(BAD)])
        here.service.manager.add_request(at(BAD), permanent=False)
        await anyio.sleep(20)
        [_] = [line for line in here.events if line["event"] in ("dial.failed", "peer.refused")]
        assert here.book.failures(at(BAD)) == 2  # a new address begins with 1
        assert server.closed
        await here.check_undisturbed()  # no flow has failed, no dial has crashed

    assert caplog.text == ""

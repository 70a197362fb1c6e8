"""TLS as an asyncio transport: after a hand-over, on a connection in memory."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.services.tls_peers import Far, Forger, forging, secured, serving, until
from ziggurat.services import TlsStream
from ziggurat.services.tls_session import TlsSession
from ziggurat.services.tls_transport import TlsTransport

pytestmark = pytest.mark.asyncio_only

MANY = bytes(range(256)) * 4096 * 4  # 4 MiB


class Taker(asyncio.Protocol):
    """Records its callbacks. ``keep_open`` is returned at EOF; ``act`` runs in each ``data_received``."""

    def __init__(self, stream: TlsStream | None = None, *, keep_open: bool = False) -> None:
        self.stream = stream
        self.keep_open = keep_open
        self.calls: list[str] = []
        self.data = bytearray()
        self.error: Exception | None = None
        self.act: Callable[[], object] = lambda: None

    def note(self, call: str) -> None:
        if call != "data" or self.calls[-1:] != [call]:
            self.calls.append(call)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.note("made")

    def data_received(self, data: bytes) -> None:
        assert data
        self.data += data
        self.note("data")
        self.act()

    def eof_received(self) -> bool:
        self.note("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.error = exc
        if self.stream is not None:
            self.stream.report_close()

    @property
    def lost(self) -> bool:
        return "lost" in self.calls


@asynccontextmanager
async def handed_over(
    far: Far | None = None,
    context: ssl.SSLContext | None = None,
    *,
    keep_open: bool = False,
    capacity: int | None = None,
) -> AsyncIterator[tuple[TlsTransport, Taker, Far]]:
    async with secured(far, context, capacity=capacity) as (stream, far):
        taker = Taker(stream, keep_open=keep_open)
        transport = stream.hand_over(taker)
        assert type(transport) is TlsTransport
        yield transport, taker, far
        transport.abort()
        await until(lambda: taker.lost)
        assert taker.calls.count("lost") == 1
        assert taker.calls[-1] == "lost"


async def test_bytes_pass_both_ways() -> None:
    async with handed_over() as (transport, taker, far):
        for piece in (b"one ", bytearray(b"two "), memoryview(b"three"), b""):
            transport.write(piece)
        await until(lambda: far.received == b"one two three")
        far.send(far.records(b"back"))
        await until(lambda: taker.data == b"back")
        assert taker.calls == ["made", "data"]


async def test_a_mutable_buffer_may_be_changed_after_write() -> None:
    async with handed_over() as (transport, _, far):
        buffer = bytearray(b"before")
        transport.write(buffer)
        buffer[:] = b"after!"
        await until(lambda: len(far.received) == 6)
        assert far.received == b"before"


async def test_a_large_transfer_both_ways_at_once_arrives_whole() -> None:
    async with handed_over() as (transport, taker, far):
        transport.write(MANY)
        for start in range(0, len(MANY), 65536):
            far.send(far.records(MANY[start : start + 65536]))
        await until(lambda: len(far.received) == len(MANY) == len(taker.data))
        assert far.received == taker.data == MANY


async def test_all_records_of_one_read_are_passed_on_at_once() -> None:
    async with handed_over() as (_, taker, far):
        pieces: list[int] = []
        taker.act = lambda: pieces.append(len(taker.data))
        far.send(b"".join(far.records(b"x" * 10) for _ in range(100)))
        await until(lambda: len(taker.data) == 1000)
        assert pieces == [1000]


# --- how it ends ------------------------------------------------------------------------------------------------------


async def test_close_sends_everything_and_a_close_notify_and_does_not_wait_for_the_peers() -> None:
    async with handed_over() as (transport, taker, far):
        transport.write(b"last words")
        transport.close()
        transport.close()
        assert transport.is_closing()
        transport.write(b"too late")
        await until(lambda: taker.lost)
        await until(lambda: far.hung_up)
        assert far.received == b"last words"
        assert far.ended
        assert far.alert is None
        assert taker.calls == ["made", "lost"]
        assert taker.error is None


async def test_close_waits_until_the_peer_has_taken_everything() -> None:
    async with handed_over(capacity=4096) as (transport, taker, far):
        transport.write(MANY)
        transport.close()
        await until(lambda: taker.lost)
        await until(lambda: far.hung_up)
        assert far.received == MANY
        assert far.ended


async def test_abort_sends_no_close_notify() -> None:
    async with handed_over() as (transport, taker, far):
        transport.abort()
        assert transport.is_closing()
        await until(lambda: taker.lost)
        await until(lambda: far.hung_up)
        assert not far.ended
        assert taker.error is None


@pytest.mark.parametrize("notify", [True, False])
@pytest.mark.parametrize("cut", [True, False])
async def test_the_peers_end_is_reported_once_after_its_data(notify: bool, cut: bool) -> None:
    async with handed_over() as (_, taker, far):
        data = far.records(b"last words")
        if notify:
            data += far.close_notify()
        far.writer.write(data)
        if cut or not notify:
            far.writer.write_eof()
        await until(lambda: taker.lost)
        await until(lambda: far.hung_up)
        assert taker.calls == ["made", "data", "eof", "lost"]
        assert taker.data == b"last words"
        assert taker.error is None
        assert far.ended, "our close_notify"


@pytest.mark.parametrize("how", ["close_notify", "eof", "both"])
async def test_after_the_peers_end_we_may_go_on_sending(how: str) -> None:
    async with handed_over(keep_open=True) as (transport, taker, far):
        if how != "eof":
            far.writer.write(far.close_notify())
        if how != "close_notify":
            far.writer.write_eof()
        await until(lambda: "eof" in taker.calls)
        far.complete = True
        transport.write(b"answer")
        # The server's OpenSSL has sent its close_notify, and reads on.
        await until(lambda: far.received == b"answer")
        assert not transport.is_closing()
        transport.close()
        await until(lambda: taker.lost)
        assert taker.calls == ["made", "eof", "lost"]


async def test_data_after_a_close_notify_is_ignored() -> None:
    async with handed_over(keep_open=True) as (_, taker, far):
        far.writer.write(far.close_notify() + b"late")
        await until(lambda: "eof" in taker.calls)
        far.writer.write(b"later")
        await asyncio.sleep(1)
        assert taker.calls == ["made", "eof"]


async def test_a_bad_record_ends_it_with_openssls_error_after_the_data_before() -> None:
    async with handed_over() as (transport, taker, far):
        bad = bytearray(far.records(b"bad"))
        bad[-1] ^= 1
        far.send(far.records(b"good")[:0] + bytes(bad))
        await until(lambda: taker.lost)
        await until(lambda: far.hung_up)
        assert isinstance(taker.error, ssl.SSLError)
        assert "bad record mac" in str(taker.error).lower()
        assert "BAD_RECORD_MAC" in str(far.alert), "our alert"
        assert transport.is_closing()
        transport.write(b"ignored")
        transport.close()


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 100, bytes(70_000)])
async def test_garbage_ends_it_with_openssls_error(garbage: bytes) -> None:
    async with handed_over() as (_, taker, far):
        far.send(far.records(b"good") + garbage)
        await until(lambda: taker.lost)
        assert taker.data == b"good"
        assert isinstance(taker.error, ssl.SSLError)


async def test_an_alert_that_refuses_our_certificate_ends_it_with_openssls_error() -> None:
    async with handed_over(Far(serving(authority=trustme.CA()))) as (_, taker, _):
        await until(lambda: taker.lost)
        assert "CERTIFICATE_REQUIRED" in str(taker.error)


async def test_a_lost_connection_reports_the_systems_error() -> None:
    async with handed_over() as (transport, taker, _):
        error = ConnectionResetError("reset")
        transport._raw._fatal_error(error)  # type: ignore[attr-defined]
        await until(lambda: taker.lost)
        assert taker.error is error


async def test_a_bug_in_the_protocol_is_reported_and_ends_it() -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

    def fail() -> None:
        raise KeyError("a bug")

    async with handed_over() as (transport, taker, far):
        taker.act = fail
        far.send(far.records(b"x"))
        await until(lambda: taker.lost)
        assert isinstance(taker.error, KeyError)

    async with handed_over() as (transport, taker, far):
        taker.act = lambda: (transport.pause_reading(), setattr(taker, "act", fail))
        far.send(far.records(b"x"))
        await until(lambda: taker.data)
        transport.data_received(far.records(b"y"))
        transport.resume_reading()
        await until(lambda: taker.lost)
        assert isinstance(taker.error, KeyError)
    assert len(reports) == 2


# --- reading pauses ---------------------------------------------------------------------------------------------------


async def test_paused_reading_delivers_nothing_and_then_everything_in_order() -> None:
    async with handed_over() as (transport, taker, far):
        taker.act = transport.pause_reading
        far.send(far.records(b"1"))
        await until(lambda: taker.data)
        assert not transport.is_reading()
        far.send(far.records(b"2") + far.records(b"3") + far.close_notify())
        await asyncio.sleep(1)
        transport.data_received(b"")  # as after a hand-over, which resumes the transport below
        assert taker.data == b"1"
        taker.act = lambda: None
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await until(lambda: taker.lost)
        assert taker.data == b"123"
        assert taker.calls == ["made", "data", "eof", "lost"]


async def test_bytes_that_come_although_reading_is_paused_wait() -> None:
    """A hand-over replays what the stream below has queued, whatever the protocol says."""
    async with handed_over() as (transport, taker, far):
        transport.pause_reading()
        transport.data_received(far.records(b"1"))
        transport.data_received(far.records(b"2") + far.close_notify())
        transport.eof_received()
        assert taker.calls == ["made"]
        taker.act = transport.pause_reading
        transport.resume_reading()
        await until(lambda: taker.data)
        assert taker.data == b"12"
        assert taker.calls == ["made", "data"], "it has paused again, so the end waits"
        transport.resume_reading()
        await until(lambda: taker.lost)
        assert taker.calls == ["made", "data", "eof", "lost"]


async def test_bytes_that_waited_come_before_those_of_the_next_read() -> None:
    async with handed_over() as (transport, taker, far):
        transport.pause_reading()
        transport.data_received(far.records(b"1"))
        transport.resume_reading()
        transport.data_received(far.records(b"2"))
        assert taker.data == b"12"
        await asyncio.sleep(1)
        assert taker.data == b"12"


async def test_closing_while_bytes_wait_drops_them() -> None:
    async with handed_over() as (transport, taker, far):
        transport.pause_reading()
        transport.data_received(far.records(b"1"))
        transport.close()
        transport.resume_reading()
        transport.pause_reading()
        await until(lambda: taker.lost)
        assert taker.calls == ["made", "lost"]


async def test_a_close_within_data_received_is_the_last_word() -> None:
    async with handed_over() as (transport, taker, far):
        taker.act = transport.close
        far.send(far.records(b"x") + far.close_notify())
        await until(lambda: taker.lost)
        assert taker.calls == ["made", "data", "lost"]


# --- writing pauses ---------------------------------------------------------------------------------------------------


async def test_a_peer_that_does_not_read_pauses_writing_until_it_does() -> None:
    async with secured(capacity=4096) as (stream, far):
        far.writer.transport.pause_reading()
        taker = Taker(stream)
        transport = stream.hand_over(taker)
        transport.set_write_buffer_limits(10_000, 1000)
        assert transport.get_write_buffer_limits() == (1000, 10_000)
        transport.write(b"x" * 5000)
        assert taker.calls == ["made"]
        transport.write(b"x" * 95_000)
        assert taker.calls == ["made", "pause"]
        assert transport.get_write_buffer_size() > 90_000
        far.writer.transport.resume_reading()
        await until(lambda: len(far.received) == 100_000)
        assert taker.calls == ["made", "pause", "resume"]
        assert transport.get_write_buffer_size() == 0
        transport.abort()
        await until(lambda: taker.lost)


async def test_a_key_update_does_not_disturb_writing(tmp_path: Path) -> None:
    async with handed_over(Far(forging(tmp_path / "keys"))) as (transport, taker, far):
        forger = Forger(tmp_path / "keys")
        for request in (True, False, True, True):
            far.writer.write(forger.record(b"a") + forger.key_update(request=request) + forger.record(b"b"))
            for size in (1, 100_000):
                transport.write(MANY[:size])
            await until(lambda: len(far.received) == 100_001)
            assert far.received == MANY[:1] + MANY[:100_000]
            far.received.clear()
        await until(lambda: taker.data == b"abababab")
        assert far.alert is None


# --- the rest of the interface ----------------------------------------------------------------------------------------


async def test_extra_info_is_that_of_tls_and_of_the_connection_below() -> None:
    async with handed_over() as (transport, _, far):
        get = transport.get_extra_info
        assert get("ssl_object").selected_alpn_protocol() == "h2"
        assert get("sslcontext") is get("ssl_object").context
        assert get("cipher")[0] == far.tls.cipher()[0]  # type: ignore[index]
        assert get("compression") is None
        assert ("DNS", "target.example") in get("peercert")["subjectAltName"]
        assert get("peername") == transport._raw.get_extra_info("peername")
        assert get("socket") is transport._raw.get_extra_info("socket")
        assert get("unknown", 7) == 7


async def test_one_direction_cannot_be_ended() -> None:
    async with handed_over() as (transport, _, _):
        assert not transport.can_write_eof()
        with pytest.raises(NotImplementedError):
            transport.write_eof()


async def test_the_protocol_can_be_replaced() -> None:
    async with handed_over() as (transport, taker, far):
        second = Taker()
        with pytest.raises(TypeError):
            transport.set_protocol(asyncio.BaseProtocol())
        assert transport.get_protocol() is taker
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        far.send(far.records(b"x"))
        await until(lambda: second.data == b"x")
        transport.set_protocol(taker)


async def test_repr_names_the_state() -> None:
    async with handed_over() as (transport, _, _):
        assert "closing" not in repr(transport)
        transport.close()
        assert repr(transport).endswith(", closing)")


@pytest.mark.parametrize("how", ["close", "abort", "bad record"])
async def test_a_closed_connection_leaves_no_cycle(how: str) -> None:
    def ours() -> list[object]:
        return [each for each in gc.get_objects() if type(each) in (TlsStream, TlsTransport, TlsSession)]

    async def connection() -> None:
        async with handed_over() as (transport, taker, far):
            if how == "bad record":
                far.send(b"\xff" * 100)
            else:
                getattr(transport, how)()
            await until(lambda: taker.lost)
            assert len(ours()) >= 3

    gc.collect()
    gc.disable()
    try:
        await connection()
        assert ours() == []
    finally:
        gc.enable()

"""Our TLS stream: as a stream, and its hand-over. On a connection in memory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint
from anyio.streams.tls import TLSAttribute, TLSStream

from tests.services.test_tls_transport import Taker
from tests.services.tls_peers import NAME, Far, Forger, connected, forging, secured, serving, trusting, until
from ziggurat.services import DialAttribute, Ledger, TlsStream, Uri
from ziggurat.services.tls_session import SLICE

pytestmark = pytest.mark.asyncio_only

MANY = bytes(range(256)) * 4096  # 1 MiB
CONTEXT = trusting()


async def read(stream: TlsStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await stream.receive()
    return bytes(data)


# --- receive and send -------------------------------------------------------------------------------------------------


async def test_an_exact_read_leaves_the_rest_and_the_counters_count_plain_bytes() -> None:
    async with secured() as (stream, far):
        far.send(far.records(b"abcdef") + far.records(b"ghij"))
        assert [await stream.receive(n) for n in (1, 2, 3, 100)] == [b"a", b"bc", b"def", b"ghij"]
        await stream.send(b"answer")
        await until(lambda: far.received == b"answer")
        assert (stream.bytes_received, stream.bytes_sent) == (10, 6)


@pytest.mark.parametrize("capacity", [100, 65536])
async def test_a_large_transfer_both_ways_at_once_arrives_whole(capacity: int) -> None:
    data = MANY[: capacity * 16]
    async with secured(capacity=capacity) as (stream, far), anyio.create_task_group() as group:
        group.start_soon(stream.send, data)
        far.send(far.records(data))
        assert await read(stream, len(data)) == data
        await until(lambda: far.received == data)
    assert (stream.bytes_received, stream.bytes_sent) == (len(data), len(data))


async def test_a_peer_that_does_not_read_blocks_send_until_it_does() -> None:
    async with secured(capacity=4096) as (stream, far), anyio.create_task_group() as group:
        far.writer.transport.pause_reading()
        done: list[bool] = []

        async def send() -> None:
            await stream.send(MANY)
            done.append(True)

        group.start_soon(send)
        await asyncio.sleep(1)
        assert stream._inner._transport.get_write_buffer_size() <= SLICE + 1000  # the rest is not even encrypted
        assert not done
        far.writer.transport.resume_reading()
        await until(lambda: done)
        await until(lambda: far.received == MANY)


@pytest.mark.parametrize("how", ["close_notify", "eof", "both"])
async def test_the_peers_end_comes_after_its_data_and_we_may_go_on_sending(how: str) -> None:
    async with secured() as (stream, far):
        far.send(far.records(b"last words") + (b"" if how == "eof" else far.close_notify()))
        if how != "close_notify":
            far.writer.write_eof()
        assert await read(stream, 10) == b"last words"
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await stream.receive()
        await stream.send(b"answer")
        await until(lambda: far.received == b"answer")


@pytest.mark.parametrize("how", ["close_notify", "eof"])
async def test_a_stream_is_readable_while_receive_would_not_wait(how: str) -> None:
    async with secured() as (stream, far):
        assert not stream.readable
        far.send(far.records(b"ab"))
        await until(lambda: stream.readable)
        assert await stream.receive(1) == b"a"
        assert stream.readable
        assert await stream.receive(1) == b"b"
        assert not stream.readable
        if how == "eof":
            far.writer.write_eof()
        else:
            far.send(far.close_notify())
        await until(lambda: stream.readable)
        with pytest.raises(EndOfStream):
            await stream.receive()
        assert stream.readable


async def test_after_our_eof_we_can_still_receive_but_not_send() -> None:
    async with secured() as (stream, far):
        await stream.send(b"question")
        await stream.send_eof()
        await stream.send_eof()
        await until(lambda: far.ended)
        assert far.received == b"question"
        assert not far.hung_up
        far.send(far.records(b"answer"))
        assert await read(stream, 6) == b"answer"
        with pytest.raises(ClosedResourceError):
            await stream.send(b"x")


async def test_older_versions_cannot_end_one_side() -> None:
    async with secured(context=trusting(version=ssl.TLSVersion.TLSv1_2)) as (stream, far):
        with pytest.raises(NotImplementedError, match=r"TLSv1\.2"):
            await stream.send_eof()
        await stream.send(b"x")
        await until(lambda: far.received == b"x")


async def test_a_bad_record_breaks_it_after_the_data_before() -> None:
    async with secured() as (stream, far):
        bad = bytearray(far.records(b"bad"))
        bad[-1] ^= 1
        far.send(bytes(bad))
        for _ in range(2):
            with pytest.raises(BrokenResourceError) as caught:
                await stream.receive()
            assert isinstance(caught.value.__cause__, ssl.SSLError)
        await until(lambda: far.alert)
        assert "BAD_RECORD_MAC" in str(far.alert)
        with pytest.raises(BrokenResourceError) as caught:
            await stream.send(b"x")
        assert isinstance(caught.value.__cause__, ssl.SSLError)


async def test_an_alert_that_refuses_our_certificate_breaks_the_first_read() -> None:
    async with secured(Far(serving(authority=trustme.CA()))) as (stream, _):
        with pytest.raises(BrokenResourceError) as caught:
            await stream.receive()
        assert isinstance(caught.value.__cause__, ssl.SSLError)
        assert "CERTIFICATE_REQUIRED" in str(caught.value.__cause__)


async def test_a_lost_connection_breaks_receive_and_send_with_the_systems_error() -> None:
    async with secured() as (stream, _):
        error = ConnectionResetError("reset")
        stream._inner._transport._fatal_error(error)  # type: ignore[attr-defined]
        await checkpoint()
        for call in (stream.receive(), stream.send(b"x")):
            with pytest.raises(BrokenResourceError) as caught:
                await call
            assert caught.value.__cause__ is error


async def test_a_key_update_is_answered_by_the_next_send(tmp_path: Path) -> None:
    async with secured(Far(forging(tmp_path / "keys"))) as (stream, far):
        forger = Forger(tmp_path / "keys")
        for _ in range(3):
            far.writer.write(forger.record(b"a") + forger.key_update(request=True) + forger.record(b"b"))
            assert await read(stream, 2) == b"ab"
            await stream.send(b"x")
        await until(lambda: far.received == b"xxx")
        assert far.alert is None


# --- cancellation, closing, two tasks at once -------------------------------------------------------------------------


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with secured() as (stream, far):
        half = far.records(b"abc")
        far.send(half[:8])
        for _ in range(3):
            with anyio.move_on_after(1) as scope:
                await stream.receive()
            assert scope.cancelled_caught
        far.send(half[8:])
        assert await read(stream, 3) == b"abc"


@pytest.mark.parametrize("steps", range(8))
async def test_a_send_cancelled_at_any_await_does_not_break_the_records_after_it(steps: int) -> None:
    async with secured(capacity=4096) as (stream, far):
        far.writer.transport.pause_reading()
        task = asyncio.create_task(stream.send(MANY))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        far.writer.transport.resume_reading()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await stream.send(b"never")
        await stream.send(b"next")
        await until(lambda: far.received.endswith(b"next"))
        assert far.received[:-4] == MANY[: len(far.received) - 4]
        assert far.alert is None


async def test_a_second_task_is_refused_and_the_first_continues() -> None:
    async with secured(capacity=4096) as (stream, far), anyio.create_task_group() as group:
        received: list[bytes] = []

        async def receive() -> None:
            received.append(await stream.receive())

        far.writer.transport.pause_reading()
        group.start_soon(receive)
        group.start_soon(stream.send, MANY)
        await asyncio.sleep(1)
        for call in (stream.receive(), stream.send(b"second")):
            with pytest.raises(BusyResourceError):
                await call
        with pytest.raises(BusyResourceError):
            stream.hand_over(Taker())
        far.writer.transport.resume_reading()
        far.send(far.records(b"abc"))
        await until(lambda: received == [b"abc"] and far.received == MANY)
        far.send(far.records(b"d"))
        assert await stream.receive() == b"d", "the refused hand-over has not spent the stream"


@pytest.mark.parametrize("call", ["receive", "send"])
async def test_aclose_wakes_waiting_tasks(call: str) -> None:
    async with secured(capacity=4096) as (stream, far), anyio.create_task_group() as group:
        far.writer.transport.pause_reading()

        async def wait() -> None:
            with pytest.raises(ClosedResourceError):
                await (stream.receive() if call == "receive" else stream.send(MANY))

        group.start_soon(wait)
        await asyncio.sleep(1)
        await stream.aclose()


async def test_aclose_sends_a_close_notify_and_waits_for_nothing() -> None:
    async with secured() as (stream, far):
        ends: list[str] = []
        stream.on_close(lambda: ends.append("ours"))
        stream._inner.on_close(lambda: ends.append("below"))
        await stream.send(b"last words")
        await stream.aclose()
        assert ends == ["ours", "below"]
        await stream.aclose()
        await until(lambda: far.hung_up)
        assert far.received == b"last words"
        assert far.ended
        assert far.alert is None
        assert ends == ["ours", "below"]


async def test_a_closed_stream_refuses_everything_but_another_close() -> None:
    async with secured() as (stream, far):
        far.send(far.records(b"unread"))
        await stream.receive(1)
        await stream.aclose()
        refused: list[Callable[[], Awaitable[object]]] = [stream.receive, lambda: stream.send(b"x"), stream.send_eof]
        for call in refused:
            with pytest.raises(ClosedResourceError):
                await call()
        with pytest.raises(ClosedResourceError):
            stream.hand_over(Taker())
        late: list[str] = []
        stream.on_close(lambda: late.append("at once"))
        assert late == ["at once"]


# --- the handshake ----------------------------------------------------------------------------------------------------


async def test_the_handshake_needs_the_peers_every_byte() -> None:
    context = trusting()
    async with secured(context=context) as (_, far):
        complete = far.sent
    assert complete > 500
    # Its length varies a little, with the length of the signature.
    for size in (*range(8), *range(8, complete - 40, 211), *range(-40, 0)):
        far = Far()
        far.limit = size
        async with connected(far) as (inner, far):
            with pytest.raises(EndOfStream):
                await TlsStream.wrap(inner, context, NAME)


async def test_a_handshake_cancelled_at_any_await_leaves_nothing_behind() -> None:
    for steps in range(1000):
        async with connected() as (inner, far):
            task = asyncio.create_task(TlsStream.wrap(inner, CONTEXT, NAME))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await inner.aclose()
            await until(lambda: far.hung_up or far.writer.transport.is_closing())
            if not task.cancelled():
                break
    assert 3 < steps < 100


async def test_the_peer_is_told_why_the_handshake_failed() -> None:
    async with connected() as (inner, far):
        with pytest.raises(ssl.SSLCertVerificationError):
            await TlsStream.wrap(inner, CONTEXT, "other.example")
        await until(lambda: far.alert)
        assert "ALERT" in str(far.alert)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"])
async def test_an_answer_that_is_no_tls_or_an_alert_fails_the_handshake(answer: bytes) -> None:
    async with connected(serve=False) as (inner, far):
        far.send(answer)
        with pytest.raises(ssl.SSLError):
            await TlsStream.wrap(inner, CONTEXT, NAME)


async def test_a_name_that_cannot_be_one_is_refused_before_anything_is_sent() -> None:
    async with connected() as (inner, far):
        with pytest.raises(ValueError, match="leading dot"):
            await TlsStream.wrap(inner, CONTEXT, ".example")
        assert not far.sent
        assert not inner.bytes_sent


class OwnContext(ssl.SSLContext):
    """A context of a third party, which may read files when it is used."""


async def test_a_subclass_of_the_context_does_its_reading_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    context = OwnContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=CONTEXT.get_ca_certs(binary_form=True)[0])
    elsewhere: list[Any] = []

    async def run(function: Any, *args: Any) -> Any:  # there are no threads in virtual time
        elsewhere.append(function)
        return function(*args)

    monkeypatch.setattr("ziggurat.services.tls.run_sync", run)
    async with secured(context=context) as (stream, far):
        await stream.send(b"x")
        await until(lambda: far.received == b"x")
    assert elsewhere == [context.wrap_bio]


async def test_the_attributes_are_anyios_and_those_of_the_stream_below() -> None:
    async with secured() as (stream, _):
        stream.ledger = Ledger(Uri.parse("https://target.example"))
        theirs = await anyios_attributes()
        ours = {key: stream.extra(key) for key in theirs}
        for key in (TLSAttribute.channel_binding_tls_unique, TLSAttribute.ssl_object):
            assert type(ours.pop(key)) is type(theirs.pop(key))
        assert ours == theirs
        assert stream.extra(TLSAttribute.alpn_protocol) == "h2"
        assert stream.extra(DialAttribute.ledger) is stream.ledger
        assert stream.extra(SocketAttribute.raw_socket) is stream._inner.extra(SocketAttribute.raw_socket)
        assert repr(stream) == f"TlsStream({stream._inner!r})"


async def anyios_attributes() -> dict[Any, Any]:
    async with connected() as (inner, _):
        stream = await TLSStream.wrap(inner, hostname=NAME, ssl_context=CONTEXT, standard_compatible=False)
        return {key: value() for key, value in stream.extra_attributes.items() if key in vars(TLSAttribute).values()}


# --- the hand-over ----------------------------------------------------------------------------------------------------


class Eager(Far):
    """A server that sends ``early`` in one piece with its last message of the handshake."""

    early = b"the first bytes of HTTP/2"

    def feed(self, data: bytes) -> bytes:
        before = self.complete
        answer = super().feed(data)
        return answer + (self.records(self.early) if self.complete and not before else b"")


async def test_bytes_of_the_same_read_as_the_handshakes_end_are_not_lost() -> None:
    """Under TLS 1.2 the server speaks last."""
    async with secured(Eager(), trusting(version=ssl.TLSVersion.TLSv1_2)) as (stream, _):
        assert await stream.receive(9) == b"the first"
        taker = Taker(stream)
        transport = stream.hand_over(taker)
        assert taker.calls == ["made", "data"]
        assert taker.data == b" bytes of HTTP/2"
        transport.abort()
        await until(lambda: taker.lost)


async def test_bytes_in_the_queue_below_are_replayed_behind_those_in_our_own() -> None:
    async with secured() as (stream, far):
        first, second, third = far.records(b"ab"), far.records(b"cd"), far.records(b"ef")
        far.send(first + second[:10])
        assert await stream.receive(1) == b"a"
        far.send(second[10:] + third[:10])
        await until(lambda: stream._inner._protocol.waiting)
        taker = Taker(stream, keep_open=True)
        transport = stream.hand_over(taker)
        assert taker.data == b"bcd"
        assert stream.bytes_received == 1
        far.send(third[10:])
        far.writer.write_eof()
        await until(lambda: "eof" in taker.calls)
        assert taker.data == b"bcdef"
        assert transport.is_reading()
        transport.abort()
        await until(lambda: taker.lost)


@pytest.mark.parametrize("end", ["close_notify", "eof", "bad record"])
async def test_an_end_before_the_hand_over_is_reported_after_it(end: str) -> None:
    async with secured() as (stream, far):
        data = far.records(b"ab")
        far.send(data + {"close_notify": far.close_notify(), "eof": b"", "bad record": b"\xff" * 30}[end])
        if end == "eof":
            far.writer.write_eof()
        assert await stream.receive(1) == b"a"
        await asyncio.sleep(1)
        taker = Taker(stream)
        stream.hand_over(taker)
        await until(lambda: taker.lost)
        assert taker.data == b"b"
        assert taker.calls == ["made", "data", *(["eof"] if end != "bad record" else []), "lost"]
        assert isinstance(taker.error, ssl.SSLError) == (end == "bad record")


async def test_on_close_fires_once_for_both_streams_after_a_hand_over() -> None:
    async with secured() as (stream, _):
        ends: list[str] = []
        assert not stream.watched
        stream._inner.on_close(lambda: ends.append("below"))
        assert stream.watched
        stream.on_close(lambda: ends.append("ours"))
        taker = Taker(stream)
        transport = stream.hand_over(taker)
        await stream.aclose()
        assert ends == []
        assert not transport.is_closing()
        transport.close()
        await until(lambda: taker.lost)
        assert ends == ["below", "ours"]
        with pytest.raises(ClosedResourceError):
            stream.hand_over(taker)


async def test_a_lost_connection_cannot_be_handed_over() -> None:
    async with secured() as (stream, _):
        stream._inner._transport.abort()
        await checkpoint()
        with pytest.raises(BrokenResourceError):
            stream.hand_over(Taker())


@pytest.mark.parametrize("call", ["connection_made", "data_received"])
async def test_a_bug_during_the_hand_over_closes_the_connection(call: str) -> None:
    async with secured() as (stream, far):
        far.send(far.records(b"abc"))
        assert await stream.receive(1) == b"a"
        taker = Taker(stream)

        def fail(_: object) -> None:
            raise KeyError("a bug")

        setattr(taker, call, fail)
        with pytest.raises(KeyError):
            stream.hand_over(taker)
        await until(lambda: far.hung_up)


# --- push_back --------------------------------------------------------------------------------------------------------


async def test_pushed_back_bytes_come_first_and_are_counted_once() -> None:
    async with secured() as (stream, far):
        far.send(far.records(b"reply and tunnel"))
        assert await stream.receive(6) == b"reply "
        stream.push_back(await stream.receive(3))
        assert stream.bytes_received == 6
        assert [await stream.receive(n) for n in (2, 1, 100)] == [b"an", b"d", b" tunnel"]
        assert stream.bytes_received == 16


async def test_pushed_back_bytes_are_replayed_by_a_hand_over() -> None:
    async with secured() as (stream, far):
        far.send(far.records(b"reply: tunnel"))
        stream.push_back((await read(stream, 13))[7:])
        taker = Taker(stream)
        transport = stream.hand_over(taker)
        assert bytes(taker.data) == b"tunnel"
        with pytest.raises(ClosedResourceError):
            stream.push_back(b"x")
        transport.abort()
        await until(lambda: taker.lost)


async def test_nothing_is_pushed_back_under_a_reader() -> None:
    async with secured() as (stream, _), anyio.create_task_group() as group:
        group.start_soon(stream.receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            stream.push_back(b"x")
        group.cancel_scope.cancel()

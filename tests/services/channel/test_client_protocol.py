# ruff: noqa: PT012  (a call is a block, and leaving it raises)
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Server
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ziggurat.services.channel.client_protocol import ClientProtocol
from ziggurat.services.channel.options import ConnectionOptions
from ziggurat.services.channel.refusal import CallRefused

pytestmark = pytest.mark.asyncio_only

UNARY = Cardinality.UNARY_UNARY


# The peer's SETTINGS


async def test_the_peers_settings_make_it_a_connection(wire: Any) -> None:
    await wire.connect(settings=False)
    assert not wire.protocol.settings_received
    assert wire.events == []
    await wire.send(wire.settings())
    assert wire.protocol.settings_received
    assert wire.protocol.accepting
    await wire.send(wire.settings())
    assert wire.events == ["settings"]  # once


async def test_our_settings_say_what_the_options_say(wire: Any) -> None:
    await wire.connect(stream_window=100_000, connection_window=200_000, max_frame_size=20_000)
    values = (await wire.expect(SettingsFrame)).settings
    assert values[SettingsFrame.INITIAL_WINDOW_SIZE] == 100_000
    assert values[SettingsFrame.MAX_FRAME_SIZE] == 20_000
    assert values[SettingsFrame.ENABLE_PUSH] == 0
    assert (await wire.expect(WindowUpdateFrame)).window_increment == 200_000 - 65_535


@pytest.mark.parametrize("split", [False, True])
async def test_an_http1_server_is_named(wire: Any, split: bool) -> None:
    await wire.connect(settings=False)
    answer = b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"
    for piece in [answer[:3], answer[3:]] if split else [answer]:
        await wire.send(piece)
    await wire.protocol.lost.wait()
    assert wire.protocol.failure == "the peer speaks HTTP/1.1 (it answered 'HTTP/1.1 400 Bad Request')"
    assert wire.protocol.foreign
    assert not wire.protocol.accepting
    assert wire.events == [("lost", wire.protocol.failure)]


async def test_a_peer_that_hangs_up_first_is_cut_off_not_foreign(wire: Any) -> None:
    await wire.connect(settings=False)
    wire.writer.close()
    await wire.protocol.lost.wait()
    assert wire.protocol.failure == "closed by the peer before its SETTINGS"
    assert not wire.protocol.foreign


async def test_a_status_line_cut_short_is_still_named(wire: Any) -> None:
    await wire.connect(settings=False)
    await wire.send(b"HTTP/1.0 403")
    wire.writer.close()
    await wire.protocol.lost.wait()
    assert "HTTP/1.0 403" in str(wire.protocol.failure)
    assert wire.protocol.foreign


# GOAWAY


async def test_calls_in_flight_finish_after_a_graceful_goaway(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.send(wire.goaway(2**31 - 1), wire.goaway(1))
        assert wire.events == ["settings", "draining"]  # at once, and once
        assert not wire.protocol.accepting
        await call.send_message(b"more", end=True)
        await wire.send(wire.response(1), wire.message(1, b"in peace"), wire.trailers(1))
        assert await call.recv_message() == b"in peace"
    await wire.protocol.lost.wait()
    assert wire.protocol.failure is None


async def test_a_graceful_goaway_without_calls_closes_at_once(wire: Any) -> None:
    await wire.connect()
    await wire.send(wire.goaway(0))
    await wire.protocol.lost.wait()
    assert wire.events == ["settings", "draining", ("lost", "closed")]


async def test_calls_beyond_the_last_stream_were_not_processed(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as first:
        await first.send_message(b"one", end=True)
        with pytest.raises(CallRefused, match=r"GOAWAY NO_ERROR \(moving\): .* safe to send it again"):
            async with wire.channel.open() as second:
                await second.send_message(b"two", end=True)
                await wire.send(wire.goaway(1, debug=b"moving"))
                await second.recv_message()
        await wire.send(wire.response(1), wire.message(1, b"x"), wire.trailers(1))
        assert await first.recv_message() == b"x"


async def test_a_new_call_on_a_draining_connection_is_refused_unsent(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.send(wire.goaway(1))
        with pytest.raises(CallRefused, match="was not sent, so it is safe"):
            await wire.channel.method("/raw/echo", UNARY)(b"x")
        await call.cancel()


async def test_a_call_that_waits_for_its_turn_moves_to_the_next_connection(
    wire: Any, raw_service: Any, raw_codec: Any
) -> None:
    await wire.connect(settings=False)
    await wire.send(wire.settings({3: 0}))
    draining, channel = wire.protocol, wire.channel
    calling = asyncio.ensure_future(channel.method("/raw/echo", UNARY)(b"moved"))
    await wire.settle()
    await wire.serve(Server([raw_service], codec=raw_codec)._protocol_factory)
    channel.protocols.append(wire.protocol)
    await wire.send(wire.goaway(0))
    assert await calling == b"moved"
    await draining.lost.wait()


async def test_a_goaway_with_an_error_ends_the_calls_and_says_why(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(StreamTerminatedError, match=r"GOAWAY ENHANCE_YOUR_CALM \(too_many_pings\)") as caught:
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.goaway(1, ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings"))
            await call.recv_message()
    assert not isinstance(caught.value, CallRefused)
    await wire.protocol.lost.wait()
    assert wire.protocol.failure == "GOAWAY ENHANCE_YOUR_CALM (too_many_pings)"
    assert not wire.protocol.foreign


async def test_what_came_before_an_error_goaway_is_kept(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello", end=True)
        await wire.send(wire.response(1), wire.message(1, b"x"), wire.trailers(1), wire.goaway(1, 2))
        assert await call.recv_message() == b"x"


@pytest.mark.parametrize("bad", [b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0", b"\0\0\x01\x00\0\0\0\0\x63x", b"\xff\xff\xff" * 9])
async def test_what_came_before_a_broken_frame_is_kept(wire: Any, bad: bytes) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello", end=True)
        await wire.send(wire.response(1), wire.message(1, b"x"), wire.trailers(1), bad)
        if bad[:3] != b"\xff\xff\xff":
            assert "protocol error" in wire.protocol.failure
        assert await call.recv_message() == b"x"


async def test_a_broken_frame_is_answered_with_a_goaway(wire: Any) -> None:
    await wire.connect()
    await wire.send(b"\0\0\x01\x00\0\0\0\0\x63x")  # DATA on a stream that never was
    assert (await wire.expect(GoAwayFrame)).error_code == ErrorCodes.PROTOCOL_ERROR
    await wire.protocol.lost.wait()
    assert "protocol error" in wire.protocol.failure


async def test_a_byte_beyond_ascii_in_a_header_is_no_reason_to_end_the_connection(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello", end=True)
        await wire.send(wire.response(1, ("x-name", "J\xf6rg")), wire.message(1, b"x"), wire.trailers(1))
        assert await call.recv_message() == b"x"


async def test_an_unknown_frame_is_skipped(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello", end=True)
        await wire.send(b"\0\0\x02\xfa\0\0\0\0\x01zz", wire.response(1), wire.message(1, b"x"), wire.trailers(1))
        assert await call.recv_message() == b"x"


# Streams


async def test_a_reset_for_a_call_that_is_over_is_nobodys_business(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await call.cancel()
    await wire.send(wire.reset(1), wire.window(1, 5), wire.data(1, b"late"))
    assert wire.protocol.accepting


async def test_what_was_never_read_is_given_back(wire: Any) -> None:
    await wire.connect(connection_window=65_535)
    for stream_id in (1, 3, 5, 7):
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.response(stream_id), wire.message(stream_id, bytes(30_000)))
            await call.recv_initial_metadata()
            await call.cancel()
    assert wire.protocol.core.unread == 0


async def test_a_fault_on_one_stream_ends_its_call_alone(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(GRPCError, match="malformed: WINDOW_UPDATE of 2147483647 bytes"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.window(1, 2**31 - 1))
            await call.recv_message()
    assert wire.protocol.accepting


async def test_an_unknown_code_is_told_as_it_is(wire: Any) -> None:
    await wire.connect()
    with pytest.raises(StreamTerminatedError, match=r"error_code: 153 \(error code 0x99\)"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await wire.send(wire.reset(1, 0x99))
            await call.recv_message()


async def test_a_peer_cannot_forge_a_line_with_its_debug_data(wire: Any) -> None:
    await wire.connect()
    await wire.send(wire.goaway(0, 2, b"one\nline \xff" + b"x" * 1000))
    await wire.protocol.lost.wait()
    assert wire.protocol.failure.startswith(r"GOAWAY INTERNAL_ERROR (one line \xffxx")
    assert len(wire.protocol.failure) < 300


# Keepalive


async def test_pings_go_on_for_as_long_as_they_are_answered(wire: Any) -> None:
    await wire.connect(http2_keepalive_interval=10.0, http2_keepalive_timeout=5.0)
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        for _ in range(5):  # grpclib gives up after two
            ping = await wire.expect(PingFrame)
            await wire.send(wire.ping_ack(ping.opaque_data))
        assert asyncio.get_running_loop().time() >= 50.0
        assert wire.protocol.accepting
        await call.cancel()


async def test_a_dead_peer_is_noticed(wire: Any) -> None:
    await wire.connect(http2_keepalive_interval=10.0, http2_keepalive_timeout=5.0)
    began = asyncio.get_running_loop().time()
    with pytest.raises(StreamTerminatedError, match="no answer to a keepalive PING within 5 s"):
        async with wire.channel.open() as call:
            await call.send_message(b"hello")
            await call.recv_message()
    assert asyncio.get_running_loop().time() - began == pytest.approx(15.0)
    await wire.protocol.lost.wait()
    assert wire.events[-1] == ("lost", "no answer to a keepalive PING within 5 s")


async def test_a_dead_peer_is_noticed_with_unsent_bytes_in_the_way(wire: Any) -> None:
    await wire.connect(capacity=1000, http2_keepalive_interval=10.0, http2_keepalive_timeout=5.0)
    wire.go_deaf()
    with pytest.raises(StreamTerminatedError, match="PING"):
        async with wire.channel.open() as call:
            await call.send_message(bytes(50_000))
            await wire.settle()
            assert wire.protocol._transport.get_write_buffer_size() > 0
            await call.recv_message()
    await asyncio.wait_for(wire.protocol.lost.wait(), 1.0)


async def test_no_ping_is_sent_while_idle(wire: Any) -> None:
    await wire.connect(http2_keepalive_interval=10.0, http2_keepalive_timeout=5.0)
    await asyncio.sleep(100.0)
    assert wire.protocol.accepting


async def test_while_idle_asks_for_pings_all_the_same(wire: Any) -> None:
    await wire.connect(http2_keepalive_interval=10.0, http2_keepalive_timeout=5.0, http2_keepalive_while_idle=True)
    await asyncio.wait_for(wire.protocol.lost.wait(), 16.0)
    assert "PING" in wire.protocol.failure


# The end


async def test_a_close_says_goodbye_and_ends_the_calls(wire: Any) -> None:
    await wire.connect()
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        wire.protocol.close()
        assert not wire.protocol.accepting
        with pytest.raises(StreamTerminatedError, match="Connection closed"):
            await call.recv_message()
        call._cancelled = True
    await wire.protocol.lost.wait()
    assert (await wire.expect(GoAwayFrame)).error_code == ErrorCodes.NO_ERROR


async def test_a_close_lingers_for_unsent_bytes_and_then_aborts(wire: Any) -> None:
    await wire.connect(capacity=1000, linger=3.0)
    wire.go_deaf()
    call = wire.channel.open()
    await call.__aenter__()
    await call.send_message(bytes(50_000))
    began = asyncio.get_running_loop().time()
    await wire.protocol.aclose()
    assert asyncio.get_running_loop().time() - began == pytest.approx(3.0)
    assert wire.protocol.lost.is_set()
    with pytest.raises(StreamTerminatedError):
        await call.__aexit__(None, None, None) if not wire.protocol.closing else await call.recv_message()


async def test_a_close_is_over_when_the_last_byte_is_out(wire: Any) -> None:
    await wire.connect(capacity=1000, linger=3.0)
    call = wire.channel.open()
    await call.__aenter__()
    await call.send_message(bytes(50_000))
    received = asyncio.ensure_future(wire.reader.read())
    began = asyncio.get_running_loop().time()
    await wire.protocol.aclose()
    assert asyncio.get_running_loop().time() == began
    assert len(await received) > 50_000
    await call.__aexit__(None, None, None)


async def test_an_abort_does_not_linger(wire: Any) -> None:
    await wire.connect(capacity=1000)
    async with wire.channel.open() as call:
        await call.send_message(bytes(50_000))
        began = asyncio.get_running_loop().time()
        wire.protocol.abort()
        await wire.protocol.lost.wait()
        assert asyncio.get_running_loop().time() == began
        call._cancelled = True


async def test_a_protocol_that_was_never_connected_closes_quietly(wire: Any) -> None:
    protocol = wire.make_protocol()
    protocol.close()
    protocol.abort()
    await protocol.aclose()
    assert not protocol.accepting


async def test_everything_may_be_said_to_a_lost_connection(wire: Any) -> None:
    await wire.connect()
    wire.writer.close()
    await wire.protocol.lost.wait()
    wire.protocol.close()
    wire.protocol.abort()
    wire.protocol.data_received(b"late")
    wire.protocol.flush()
    wire.protocol.pause_writing()
    wire.protocol.resume_writing()
    assert wire.protocol.peer.addr() is not None
    with pytest.raises(CallRefused):
        await wire.channel.method("/raw/echo", UNARY)(b"x")


async def test_headers_and_message_leave_in_one_write(wire: Any) -> None:
    await wire.connect()
    await wire.settle()  # our SETTINGS are acknowledged
    writes: list[bytes] = []
    transport = wire.protocol._transport
    transport.write, write = writes.append, transport.write
    async with wire.channel.open() as call:
        await call.send_message(b"hello")
        await wire.settle()
        assert len(writes) == 1
        assert writes[0][3] == HeadersFrame.type
        transport.write = write
        await call.cancel()


# Bytes in any pieces


def _play(raw_channel: Any, chunks: list[bytes]) -> list[Any]:
    """Feed a connection with one open call in ``chunks``; return what there is to see afterwards."""

    async def main() -> list[Any]:
        lost: list[str] = []
        protocol = ClientProtocol(
            ConnectionOptions(max_message_size=1000),
            on_settings=lambda: lost.append("settings"),
            on_draining=lambda: lost.append("draining"),
            on_lost=lost.append,
        )
        protocol.connection_made(DeafTransport(protocol))
        call = raw_channel(protocol).open()
        await call.send_request()
        for chunk in chunks:
            if not protocol.closing:
                protocol.data_received(chunk)
        await asyncio.sleep(0)
        seen: list[Any] = [protocol.failure, protocol.foreign, protocol.settings_received]
        try:
            await call.recv_initial_metadata()
            seen += [call.initial_metadata]
            while (message := await call.recv_message()) is not None:
                seen += [message]
            await call.recv_trailing_metadata()
        except Exception as error:
            seen += [type(error), str(error)]
        protocol.abort()
        await protocol.lost.wait()
        return [*seen, *lost]

    return asyncio.run(main())


class DeafTransport(asyncio.Transport):
    """Takes everything and answers nothing."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.closing = False

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


def test_bytes_mean_the_same_wherever_they_are_split(frames: Any, raw_channel: Any) -> None:
    whole = b"".join([
        frames.settings({3: 100}), frames.settings(ack=True), frames.headers(1, [(":status", "103")]),
        frames.response(1), frames.message(1, b"one"), frames.message(1, b""),
        frames.data(1, b"\0\0\0\0\x06abc", pad=7),
        frames.window(0, 10), frames.data(1, b"def"), frames.trailers(1, 5, "gone"), frames.reset(1), frames.goaway(1),
    ])  # fmt: skip
    expected = _play(raw_channel, [whole])
    assert expected[4:7] == [b"one", b"", b"abcdef"]
    for split in range(1, len(whole)):
        assert _play(raw_channel, [whole[:split], whole[split:]]) == expected
    assert _play(raw_channel, [bytes([byte]) for byte in whole]) == expected


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_of_a_peer_raise(frames: Any, raw_channel: Any, data: st.DataObject) -> None:
    start = data.draw(st.sampled_from([b"", b"\0\0\0\4\0\0\0\0\0"]))
    kinds = st.one_of(
        st.binary(max_size=40),
        st.tuples(st.integers(0, 11), st.integers(0, 255), st.integers(0, 4), st.binary(max_size=20)).map(
            lambda f: len(f[3]).to_bytes(3, "big") + bytes([f[0], f[1]]) + f[2].to_bytes(4, "big") + f[3]
        ),
    )
    garbage = b"".join(data.draw(st.lists(kinds, max_size=8)))
    cut = data.draw(st.integers(0, len(garbage)))
    seen: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(str(context)))
        protocol = ClientProtocol(
            ConnectionOptions(), on_settings=lambda: None, on_draining=lambda: None, on_lost=lambda _: None
        )
        protocol.connection_made(DeafTransport(protocol))
        call = raw_channel(protocol).open()
        await call.send_request()
        for chunk in (start, garbage[:cut], garbage[cut:]):
            if not protocol.closing:
                protocol.data_received(chunk)
        await protocol.aclose()

    asyncio.run(main())
    assert seen == []

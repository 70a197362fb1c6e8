"""The probe counts open streams and running calls, and plays the far end."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint

from ziggurat.layers.testing import MemoryStream
from ziggurat.layers.testing.probe import Probe, ProbeAttribute
from ziggurat.services import ConnectError, DialAttribute, ObservedStream, Uri

URI = Uri.parse("http://a:1")


async def test_it_returns_our_stream_within_the_dial_or_a_foreign_one_outside() -> None:
    async with anyio.create_task_group() as far_ends:
        with Probe(far_ends, None) as ours, Probe(far_ends, None, ours=False) as foreign:
            first, second = await ours(URI), await foreign(URI)
            assert isinstance(first, ObservedStream)
            assert first.extra(DialAttribute.ledger) is ours.ledgers[0]
            assert isinstance(second, MemoryStream)
            assert foreign.ledgers == []
            for stream, probe in ((first, ours), (second, foreign)):
                assert stream.extra(ProbeAttribute.mark) is probe
                assert stream.extra(SocketAttribute.remote_port) == 50000
                await stream.send(b"echo")
                assert await stream.receive() == b"echo"
                assert (probe.open_streams, probe.running, probe.calls) == (1, 0, [URI])
                await stream.aclose()
                assert probe.open_streams == 0
        far_ends.cancel_scope.cancel()


async def test_it_fails_or_hangs_on_request() -> None:
    error = ConnectError("no")
    async with anyio.create_task_group() as far_ends:
        with Probe(far_ends, None) as probe:
            probe.error = error
            with pytest.raises(ConnectError):
                await probe(URI)
            assert error.ledger is probe.ledgers[0]
            probe.error, probe.hang = None, 100.0
            far_ends.start_soon(probe, URI)
            await probe.hanging.wait()
            assert repr(probe) == "Probe(2 calls, 1 running, 0 streams open)"
            far_ends.cancel_scope.cancel()
            await checkpoint()


async def test_it_keeps_a_leafs_contract_when_cancelled() -> None:
    async with anyio.create_task_group() as far_ends:
        with Probe(far_ends, None) as probe:
            with anyio.CancelScope() as scope:
                probe.fault = lambda stream: scope.cancel() or stream
                await probe(URI)
            assert (len(probe.streams), probe.open_streams, probe.running) == (1, 0, 0)
        far_ends.cancel_scope.cancel()


async def test_an_error_at_the_far_end_is_kept() -> None:
    async def peer(stream: ByteStream) -> None:
        raise ValueError("the peer's own")

    async with anyio.create_task_group() as far_ends:
        with Probe(far_ends, peer) as probe:
            stream = await probe(URI)
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
            await stream.aclose()
    assert repr(probe.peer_error) == 'ValueError("the peer\'s own")'

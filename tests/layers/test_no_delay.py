from __future__ import annotations

import socket

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from ziggurat.layers.no_delay import NoDelayLayer
from ziggurat.layers.testing import check_layer, stream_pair
from ziggurat.layers.testing.loopback import serve_loopback
from ziggurat.services.errors import ConnectError
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri


async def hold(stream: ByteStream) -> None:
    await anyio.sleep_forever()


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(NoDelayLayer(), transparent=True)


@pytest.mark.real_io
@pytest.mark.parametrize("enabled", [False, True])
async def test_the_option_is_set(enabled: bool) -> None:
    # Above a layer that sets the opposite, so that the state cannot be a default.
    async with serve_loopback(hold) as port:
        opposite = NoDelayLayer(not enabled).layer(TcpConnector())
        stream = await NoDelayLayer(enabled, require=True).layer(opposite)(Uri("tcp", "127.0.0.1", port))
        raw = stream.extra(SocketAttribute.raw_socket)
        found = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await stream.aclose()

    assert bool(found) is enabled


async def test_without_a_socket_require_fails_the_dial_and_closes_the_stream() -> None:
    near, _ = stream_pair()

    async def leaf(uri: Uri, /) -> ByteStream:
        return near

    with pytest.raises(ConnectError, match="no socket below MemoryStream") as caught:
        await NoDelayLayer(require=True).layer(leaf)(Uri.parse("http://target.test"))
    assert caught.value.phase == "no_delay"
    assert near.closed


def test_repr_shows_the_settings() -> None:
    assert repr(NoDelayLayer()) == "NoDelayLayer(enabled=True, require=False)"
    with pytest.raises(TypeError, match="enabled must be True or False, not 1"):
        NoDelayLayer(1)  # type: ignore[arg-type]

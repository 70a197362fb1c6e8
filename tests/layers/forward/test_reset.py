"""A close that the peer can tell from an orderly end."""

from __future__ import annotations

import socket

import pytest

from tests.layers.forward.ends import End
from tests.layers.forward.test_accepted import tcp_pair
from ziggurat.layers.forward.accepted import accepted_stream
from ziggurat.layers.forward.reset import reset
from ziggurat.layers.testing import stream_pair
from ziggurat.services.stream import observed


@pytest.mark.real_io
async def test_a_socket_is_reset_and_its_callbacks_run() -> None:
    near, far = tcp_pair()
    stream, ended = observed(await accepted_stream(far)), list[int]()
    stream.on_close(lambda: ended.append(1))
    await reset(stream)
    await reset(stream)
    async with End(near) as end:
        assert await end.is_reset()
    assert ended == [1]


@pytest.mark.real_io
async def test_an_orderly_close_is_none() -> None:
    near, far = tcp_pair()
    await (await accepted_stream(far)).aclose()
    async with End(near) as end:
        assert not await end.is_reset()


@pytest.mark.real_io
async def test_a_unix_socket_is_closed() -> None:
    near, far = socket.socketpair()
    far.setblocking(False)
    await reset(await accepted_stream(far))
    async with End(near) as end:
        assert await end.rest() == b""


async def test_another_stream_is_closed_by_force() -> None:
    near, _ = stream_pair()
    await reset(near)
    assert near.closed_by_force

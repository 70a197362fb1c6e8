from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from ziggurat.node.inbound.unix_listener import UnixListener

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        self.made: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.made.set_result(transport)


async def test_another_user_can_connect_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path, protocol = tmp_path / "p2p", Recorder()
    listener = UnixListener(path)
    await listener.start(lambda: protocol)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        client.connect(str(path))
        transport = await protocol.made
        transport.abort()
    await listener.aclose()

    assert not path.exists()


async def test_a_socket_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "p2p"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    listener = UnixListener(path)
    await listener.start(Recorder)
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        client.connect(str(path))  # refused by the old one
    await listener.aclose()

    assert not path.exists()


async def test_another_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "p2p"
    path.write_text("precious")
    listener = UnixListener(path)
    with pytest.raises(OSError, match=r"cannot listen on unix:.*/p2p: Address already in use"):
        await listener.start(Recorder)
    await listener.aclose()

    assert path.read_text() == "precious"

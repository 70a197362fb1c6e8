"""One leaf for TCP and unix sockets."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from ziggurat.services import ConnectError, DialAttribute, SocketConnector, TcpConnector, UnixConnector, Uri

pytestmark = pytest.mark.real_io


async def test_a_unix_uri_opens_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        stream = await SocketConnector()(Uri("unix", path=str(tmp_path / "s")))
        await stream.aclose()

    assert [p.name for p in stream.extra(DialAttribute.ledger).phases] == ["unix"]


@pytest.mark.parametrize("scheme", ["http", "https", "tcp", "socks5", "socks5h"])
async def test_any_other_uri_opens_a_tcp_connection(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await SocketConnector()(Uri(scheme, "127.0.0.1", listener.getsockname()[1]))
        await stream.aclose()

    assert [p.name for p in stream.extra(DialAttribute.ledger).phases] == ["tcp"]


async def test_it_uses_the_leaves_that_are_passed_in(tmp_path: Path) -> None:
    connector = SocketConnector(tcp=TcpConnector(local_address="127.0.0.7"), unix=UnixConnector(timeout=9.0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await connector(Uri("tcp", "127.0.0.1", listener.getsockname()[1]))
        far, peer = listener.accept()
        far.close()
        await stream.aclose()
    with pytest.raises(ConnectError) as caught:
        await connector(Uri("unix", path=str(tmp_path / "none")))

    assert peer[0] == "127.0.0.7"
    assert caught.value.ledger is not None
    assert caught.value.ledger.phases[0].limit == pytest.approx(9.0, abs=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
async def test_an_abstract_name_is_a_unix_socket_too() -> None:
    name = f"ziggurat-socket-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        stream = await SocketConnector()(Uri.parse(f"unix-abstract:{name}"))
        await stream.aclose()

    assert [p.name for p in stream.extra(DialAttribute.ledger).phases] == ["unix"]

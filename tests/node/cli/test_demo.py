"""The demo, on real loopback sockets."""

from __future__ import annotations

import gc
import socket

import anyio
import pytest

from ziggurat.node.cli.demo import PEER, run_demo

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


async def test_a_node_dials_the_peer_by_name_through_the_proxy() -> None:
    with anyio.fail_after(30):
        result = await run_demo("/test:1/")

    assert result.error is None
    assert result.ledger is not None
    assert [entry.name for entry in result.ledger.phases] == [
        "tcp",
        "proxy.greeting",
        "proxy.auth",
        "proxy.connect",
        "http2",
        "handshake",
    ]
    assert {entry.via for entry in result.ledger.phases[:4]} == {result.via}
    assert result.resolved_by_proxy == PEER.host
    assert result.peer is not None
    assert result.peer.user_agent == "/test:1/"
    assert result.ping is not None
    assert len(result.addresses) == 3


async def test_only_the_proxy_resolves_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    real = socket.getaddrinfo

    def spy(host: object, *args: object, **kwargs: object) -> object:
        asked.append(host)
        return real(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", spy)
    with anyio.fail_after(30):
        result = await run_demo("/test:1/")

    assert result.error is None
    assert PEER.host not in asked


async def test_nothing_is_left_open() -> None:
    before = _open_sockets()
    with anyio.fail_after(30):
        await run_demo("/test:1/")
    await anyio.lowlevel.checkpoint()

    assert _open_sockets() <= before


def _open_sockets() -> set[int]:
    gc.collect()
    return {
        item.fileno()
        for item in gc.get_objects()
        if isinstance(item, socket.socket)
        and item.fileno() >= 0
        and item.type == socket.SOCK_STREAM
        and item.family == socket.AF_INET
    }

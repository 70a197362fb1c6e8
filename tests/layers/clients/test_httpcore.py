"""httpcore's network backend, under its own connection pool."""

from __future__ import annotations

import socket
from pathlib import Path

import anyio
import httpcore
import pytest
from anyio.abc import ByteStream

from tests.layers.clients.servers import HOST, Web, client_context, corner, echo, serve, server_context, settle, until
from ziggurat.layers.clients import HttpcoreBackend
from ziggurat.layers.testing import stream_pair
from ziggurat.services import (
    ConnectRefused,
    ConnectTimeout,
    Ledger,
    ProxyAuthError,
    SocketConnector,
    TcpConnector,
    Uri,
)

pytestmark = pytest.mark.real_io


async def test_a_pool_sends_its_requests_through_the_proxy() -> None:
    web = Web()
    async with corner() as here, serve(web.handle) as port:
        async with httpcore.AsyncConnectionPool(network_backend=HttpcoreBackend(here.connector)) as pool:
            for target in ("a", "b"):
                response = await pool.request("GET", f"http://{HOST}:{port}/{target}")
                assert response.content == f"GET /{target}".encode()

        assert here.targets == [HOST]
        assert web.connections == 1
        ledger = response.extensions["network_stream"].get_extra_info("ledger")
        assert isinstance(ledger, Ledger)
        assert [step.name for step in ledger.phases][-1] == "proxy.connect"


async def test_tls_is_the_pools_and_verifies_the_target() -> None:
    web = Web()
    async with (
        corner() as here,
        serve(web.handle, server_context()) as port,
        httpcore.AsyncConnectionPool(
            ssl_context=client_context(), network_backend=HttpcoreBackend(here.connector)
        ) as pool,
    ):
        response = await pool.request("GET", f"https://{HOST}:{port}/")
        assert response.status == 200
        with pytest.raises(httpcore.ConnectError, match=r"certificate of localhost was refused"):
            await pool.request("GET", f"https://localhost:{port}/")
        asked = {"sni_hostname": HOST}
        assert (await pool.request("GET", f"https://localhost:{port}/", extensions=asked)).status == 200


async def test_a_refusal_of_the_proxy_is_httpcores_proxy_error() -> None:
    async with corner() as here:
        backend = HttpcoreBackend(here.stack("wrong"))
        with pytest.raises(httpcore.ProxyError, match="check user name and password") as caught:
            await backend.connect_tcp(HOST, 80)
        assert isinstance(caught.value.__cause__, ProxyAuthError)


async def test_any_other_failed_dial_is_a_connect_error() -> None:
    backend = HttpcoreBackend(TcpConnector())
    with pytest.raises(httpcore.ConnectError, match="connection refused") as caught:
        await backend.connect_tcp("127.0.0.1", 1)
    assert isinstance(caught.value.__cause__, ConnectRefused)
    with pytest.raises(httpcore.ConnectError, match="bad host"):
        await backend.connect_tcp("not a name", 80)


@pytest.mark.parametrize("timeout", [0.01, 0.0])
async def test_the_timeout_covers_the_whole_stack(timeout: float) -> None:
    async def stuck(uri: Uri) -> ByteStream:
        await anyio.sleep_forever()
        raise AssertionError

    with pytest.raises(httpcore.ConnectTimeout, match="'connect timeout'") as caught:
        await HttpcoreBackend(stuck).connect_tcp(HOST, 80, timeout=timeout)
    assert isinstance(caught.value.__cause__, ConnectTimeout)


async def test_a_mute_server_is_a_read_timeout_and_a_deaf_one_a_write_timeout() -> None:
    near, _ = stream_pair(max_buffer=4)

    async def memory(uri: Uri) -> ByteStream:
        return near

    stream = await HttpcoreBackend(memory).connect_tcp(HOST, 80)
    with pytest.raises(httpcore.ReadTimeout):
        await stream.read(1, timeout=0.01)
    with pytest.raises(httpcore.WriteTimeout):
        await stream.write(b"12345", timeout=0.01)
    with pytest.raises(httpcore.ConnectTimeout):
        await stream.start_tls(client_context(), HOST, timeout=0.01)
    assert near.closed


async def test_a_lost_connection_is_a_read_and_a_write_error() -> None:
    near, far = stream_pair()

    async def memory(uri: Uri) -> ByteStream:
        return near

    stream = await HttpcoreBackend(memory).connect_tcp(HOST, 80)
    await stream.write(b"")
    near.reset()
    with pytest.raises(httpcore.WriteError):
        await stream.write(b"12345", timeout=1.0)
    with pytest.raises(httpcore.ReadError):
        await stream.read(1, timeout=1.0)
    with pytest.raises(httpcore.ConnectError):
        await stream.start_tls(client_context(), HOST)
    del far


@pytest.mark.parametrize("last", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
@pytest.mark.parametrize("secured", [False, True])
async def test_an_idle_connection_that_the_server_gives_up_is_readable(secured: bool, last: bytes) -> None:
    """Our streams read ahead: what came is in their queue and no longer in the socket."""
    leave = anyio.Event()

    async def wait(stream: ByteStream) -> None:
        await leave.wait()
        if last:
            await stream.send(last)
            await stream.receive()  # stay open

    async with serve(wait, server_context() if secured else None) as port:
        stream = await HttpcoreBackend(TcpConnector()).connect_tcp("127.0.0.1", port)
        if secured:
            stream = await stream.start_tls(client_context(), HOST)
        assert not stream.get_extra_info("is_readable")
        leave.set()
        await until(lambda: stream.get_extra_info("is_readable"))
        await settle()  # by now it is in the queue
        assert stream.get_extra_info("is_readable")
        assert await stream.read(1) == last[:1]
        await stream.aclose()
        assert stream.get_extra_info("is_readable")


async def test_the_pool_does_not_reuse_a_connection_that_the_server_has_ended() -> None:
    web = Web()
    async with (
        corner() as here,
        serve(web.handle) as port,
        httpcore.AsyncConnectionPool(network_backend=HttpcoreBackend(here.connector)) as pool,
    ):
        for _ in range(3):
            response = await pool.request("GET", f"http://{HOST}:{port}/bye")
            assert response.status == 200
            connection = response.extensions["network_stream"]
            await until(lambda: connection.get_extra_info("is_readable"))  # noqa: B023
            await settle()
        assert web.connections == 3


async def test_what_httpcore_asks_of_a_connection() -> None:
    async with serve(echo) as port:
        stream = await HttpcoreBackend(TcpConnector()).connect_tcp("127.0.0.1", port)
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
        assert stream.get_extra_info("client_addr")[0] == "127.0.0.1"
        assert isinstance(stream.get_extra_info("socket").fileno(), int)
        assert stream.get_extra_info("ssl_object") is None
        assert stream.get_extra_info("something else") is None
        await stream.aclose()


async def test_a_unix_socket_is_dialled(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        backend = HttpcoreBackend(SocketConnector())
        stream = await backend.connect_unix_socket(str(tmp_path / "s"))
        assert not stream.get_extra_info("is_readable")
        await stream.aclose()


async def test_settings_of_the_stack_are_refused() -> None:
    backend = HttpcoreBackend(TcpConnector())
    with pytest.raises(ValueError, match="settings of the stack"):
        await backend.connect_tcp(HOST, 80, local_address="127.0.0.1")
    with pytest.raises(ValueError, match="settings of the stack"):
        await backend.connect_unix_socket("/nowhere", socket_options=[(1, 2, 3)])
    assert repr(backend).startswith("HttpcoreBackend(TcpConnector(")
    await backend.sleep(0)

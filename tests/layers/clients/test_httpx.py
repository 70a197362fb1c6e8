"""httpx over a stack, through a real proxy to a real server."""

from __future__ import annotations

import anyio
import httpx
import pytest
from anyio.abc import ByteStream

from tests.layers.clients.servers import (
    HOST,
    Corner,
    Web,
    client_context,
    corner,
    nothing_but,
    serve,
    server_context,
    until,
)
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.clients import HttpxTransport
from ziggurat.layers.testing import HttpReply, ScriptedHttpProxy
from ziggurat.services import (
    ConnectError,
    ConnectTimeout,
    ProxyAuthError,
    ProxyError,
    ProxyRefused,
    TcpConnector,
    TlsError,
    Uri,
)

pytestmark = pytest.mark.real_io


def client(here: Corner, password: str = "s3cret", *, http2: bool = False) -> httpx.AsyncClient:
    transport = HttpxTransport(here.stack(password), verify=client_context(), http2=http2)
    return httpx.AsyncClient(transport=transport)


async def test_requests_go_through_the_proxy_and_keep_their_connection() -> None:
    web = Web()
    async with corner() as here, serve(web.handle) as port, client(here) as http:
        with nothing_but(here, port):
            for target in ("a", "b"):
                response = await http.get(f"http://{HOST}:{port}/{target}")
                assert response.text == f"GET /{target}"
        response = await http.post(f"http://{HOST}:{port}/c", content=b"body")
        assert response.text == "POST /c"
        assert here.targets == [HOST]
        assert web.connections == 1


async def test_https_verifies_the_target_behind_the_proxy() -> None:
    async with corner() as here, serve(Web().handle, server_context()) as port, client(here) as http:
        response = await http.get(f"https://{HOST}:{port}/")
        assert response.http_version == "HTTP/1.1"
        with pytest.raises(httpx.ConnectError, match="certificate of localhost was refused") as caught:
            await http.get(f"https://localhost:{port}/")
        assert isinstance(caught.value.__cause__, TlsError)


async def test_a_tls_layer_for_the_target_is_one_too_many() -> None:
    async with corner() as here, serve(Web().handle, server_context()) as port:
        stack = ServiceBuilder().tls(client_context(), alpn=()).service(here.connector)
        async with httpx.AsyncClient(transport=HttpxTransport(stack, verify=client_context())) as http:
            with pytest.raises(httpx.ConnectError, match="leave out the tls layer above the proxy"):
                await http.get(f"https://{HOST}:{port}/")
        await until(lambda: not here.proxy.sessions)


async def test_http2_over_tls() -> None:
    web = Web()
    async with corner() as here, serve(web.handle, server_context("h2", "http/1.1")) as port:
        async with client(here, http2=True) as http, anyio.create_task_group() as tasks:
            response = await http.get(f"https://{HOST}:{port}/first")
            assert response.http_version == "HTTP/2"
            for n in range(5):
                tasks.start_soon(http.get, f"https://{HOST}:{port}/{n}")
        assert web.connections == 1


async def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx reads the proxy variables; a client that has a transport must not go around it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with corner() as here, serve(Web().handle) as port, client(here) as http:
        assert (await http.get(f"http://{HOST}:{port}/")).status_code == 200


async def test_the_errors_of_a_dial_are_httpxs_and_name_the_cause() -> None:
    """httpx-socks #4: the proxy library's errors went past every ``except httpx.HTTPError``."""
    async with corner() as here:
        async with client(here, "wrong") as http:
            with pytest.raises(httpx.ProxyError, match="check user name and password") as caught:
                await http.get(f"http://{HOST}/")
            assert isinstance(caught.value.__cause__, ProxyAuthError)
            assert caught.value.request.url.host == HOST
        async with client(here) as http:
            with pytest.raises(httpx.ProxyError, match="connection refused") as refused:
                await http.get(f"http://{HOST}:1/")
            assert isinstance(refused.value.__cause__, ProxyRefused)
    async with client(here) as http:  # the proxy has gone
        with pytest.raises(httpx.ConnectError, match="connection refused") as gone:
            await http.get(f"http://{HOST}/")
        assert isinstance(gone.value.__cause__, ConnectError)
        assert gone.value.__cause__.ledger is not None


async def test_an_http_proxy_and_its_refusal() -> None:
    for reply, text in ((HttpReply(407, headers=[("Proxy-Authenticate", "Basic")]), "407"), (HttpReply(403), "403")):
        async with ScriptedHttpProxy(reply, target=Web().handle).serve() as proxy:
            refused = HttpxTransport(ServiceBuilder().http_connect(proxy).service(TcpConnector()))
            async with httpx.AsyncClient(transport=refused) as http:
                with pytest.raises(httpx.ProxyError, match=text) as caught:
                    await http.get(f"http://{HOST}/")
            assert isinstance(caught.value.__cause__, ProxyError)
            assert caught.value.__cause__.status == int(text)
    async with ScriptedHttpProxy(target=Web().handle).serve() as proxy:
        transport = HttpxTransport(ServiceBuilder().http_connect(proxy).service(TcpConnector()))
        async with httpx.AsyncClient(transport=transport) as http:
            assert (await http.get(f"http://{HOST}/")).text == "GET /"


async def test_the_clients_connect_timeout_covers_the_stack() -> None:
    async def stuck(uri: Uri) -> ByteStream:
        await anyio.sleep_forever()
        raise AssertionError

    async with httpx.AsyncClient(transport=HttpxTransport(stuck), timeout=httpx.Timeout(9.0, connect=0.01)) as http:
        with pytest.raises(httpx.ConnectTimeout) as caught:
            await http.get(f"http://{HOST}/")
        assert isinstance(caught.value.__cause__, ConnectTimeout)


async def test_other_errors_are_httpxs_too() -> None:
    async def cut(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")

    async with corner() as here, serve(cut) as port, serve(Web().handle) as slow, client(here) as http:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            await http.get(f"http://{HOST}:{port}/")
        with pytest.raises(httpx.ReadTimeout):
            await http.get(f"http://{HOST}:{slow}/slow", timeout=httpx.Timeout(9.0, read=0.01))
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get(f"gopher://{HOST}/")


async def test_a_cancelled_request_leaves_no_connection_behind() -> None:
    async with corner() as here, serve(Web().handle) as port, client(here) as http:
        with anyio.move_on_after(0.05):
            await http.get(f"http://{HOST}:{port}/slow")
        await until(lambda: not here.proxy.sessions)
        assert (await http.get(f"http://{HOST}:{port}/")).status_code == 200


async def test_a_body_can_be_streamed() -> None:
    async with corner() as here, serve(Web().handle) as port, client(here) as http:
        async with http.stream("GET", f"http://{HOST}:{port}/parts") as response:
            assert b"".join([part async for part in response.aiter_bytes()]) == b"GET /parts"
        async with http.stream("GET", f"http://{HOST}:{port}/left") as response:
            pass  # the body was not read
        assert (await http.get(f"http://{HOST}:{port}/next")).text == "GET /next"


async def test_it_says_what_it_is() -> None:
    transport = HttpxTransport(TcpConnector(), limits=httpx.Limits(max_connections=1), retries=2)
    assert repr(transport).startswith("HttpxTransport(HttpcoreBackend(TcpConnector(")
    await transport.aclose()

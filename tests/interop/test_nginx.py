"""The channel behind nginx, which ends connections after some requests, and answers with pages of HTML."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.interop.grpcio_echo import EchoServer, EchoStub, grpcio_echo
from tests.interop.programs import answers, find, loopback_address, running
from ziggurat.layers import ServiceBuilder
from ziggurat.services import Endpoint, TcpConnector

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:8080 http2;
        keepalive_requests 50;
        client_max_body_size {body};
        location / {{ grpc_pass grpc://127.0.0.1:{target}; }}
    }}
}}
"""

PORT = 8080

WORKERS, CALLS = 20, 100


@asynccontextmanager
async def nginx(folder: Path, target: int, *, body: str = "8m") -> AsyncIterator[Endpoint]:
    program, host = find("nginx", "nginx-light"), loopback_address()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, host=host, target=target, body=body))
    command = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration)]
    with running(command, folder / "output.log", lambda: answers(host, PORT)):
        yield Endpoint(f"http://{host}:{PORT}")


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with grpcio_echo() as echo:
        yield echo


async def test_no_call_fails_when_connections_end_after_fifty_requests(tmp_path: Path, server: EchoServer) -> None:
    async with nginx(tmp_path, server.port) as endpoint, endpoint.connect(TcpConnector()) as channel:
        stub = EchoStub(channel)

        async def work() -> None:
            for number in range(CALLS):
                assert (await stub.say(BytesValue(value=b"%d" % number))).value == b"%d" % number

        with anyio.fail_after(60.0):
            await asyncio.gather(*(work() for _ in range(WORKERS)))


async def test_a_page_that_refuses_a_large_request_is_quoted(tmp_path: Path, server: EchoServer) -> None:
    async with nginx(tmp_path, server.port, body="1k") as endpoint, endpoint.connect(TcpConnector()) as channel:
        for size in (2000, 1_000_000):
            with anyio.fail_after(20.0), pytest.raises(GRPCError, match="413 Request Entity Too Large") as caught:
                await EchoStub(channel).say(BytesValue(value=bytes(size)))
            assert caught.value.status is Status.UNKNOWN


async def test_a_server_that_is_away_behind_it_is_unavailable(tmp_path: Path) -> None:
    async with nginx(tmp_path, 1) as endpoint, endpoint.connect(TcpConnector()) as channel:
        with anyio.fail_after(20.0), pytest.raises(GRPCError, match="502 Bad Gateway") as caught:
            await EchoStub(channel).say(BytesValue(value=b"x"))
        assert caught.value.status is Status.UNAVAILABLE


@pytest.mark.parametrize("which", ["microsocks", "dante", "ssh"])
async def test_behind_a_proxy(which: str, tmp_path: Path, server: EchoServer, request: pytest.FixtureRequest) -> None:
    """Connections end after fifty requests, and each redial goes through the proxy."""
    connector = ServiceBuilder().socks5(request.getfixturevalue(which)).service(TcpConnector())
    async with nginx(tmp_path, server.port) as endpoint, endpoint.connect(connector) as channel:
        stub = EchoStub(channel)
        with anyio.fail_after(60.0):
            for number in range(120):
                assert (await stub.say(BytesValue(value=b"%d" % number))).value == b"%d" % number

"""Programs that cannot be given a connector, through the local forwarder and the local SOCKS5 server."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value

from tests.interop.grpcio_echo import EchoServer, grpcio_echo
from tests.interop.programs import answers, find, loopback_address, running
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.forward import ForwardedConnection, Forwarder, Socks5Listener
from ziggurat.services import SocketConnector, TcpConnector

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

PORT = 1080

CHANNELS = 20

MIB = 1024 * 1024

QUICK: list[tuple[str, Any]] = [
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each channel
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 20_000),  # which is how long one attempt may take
    ("grpc.max_reconnect_backoff_ms", 100),
]


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with grpcio_echo(threads=2 * CHANNELS) as echo:
        yield echo


class Calls:
    """The calls of a grpcio channel."""

    def __init__(self, channel: Any) -> None:
        def unary(name: str, kind: Any, request: Any, reply: Any) -> Any:
            return kind(
                f"/test.Echo/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=reply.FromString,
            )

        self.say = unary("Say", channel.unary_unary, BytesValue, BytesValue)
        self.upload = unary("Upload", channel.stream_unary, BytesValue, Int64Value)
        self.talk = unary("Talk", channel.stream_stream, BytesValue, BytesValue)


async def test_twenty_channels_of_grpcio_and_a_killed_proxy(
    server: EchoServer, new_folder: Callable[[str], Path]
) -> None:
    """The calls of a killed proxy end at once, and the same channels work again when there is one."""
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed (pip install '.[interop]')")
    aio = pytest.importorskip("grpc.aio")
    program, address, folder = find("microsocks", "microsocks"), loopback_address(), new_folder("microsocks")
    argv = [program, "-i", address, "-p", str(PORT)]

    def proxy() -> Any:
        return running(argv, folder / "log", lambda: answers(address, PORT), stop=signal.SIGKILL)

    stack = ServiceBuilder().socks5(f"{address}:{PORT}").timeout(5.0).service(TcpConnector())
    forwarder = Forwarder(stack, f"localhost:{server.port}", drain=0.0)
    message = BytesValue(value=bytes(MIB))
    with anyio.fail_after(60.0):
        async with forwarder.serve() as entrance, AsyncExitStack() as channels:
            calls = [
                Calls(await channels.enter_async_context(aio.insecure_channel(str(entrance), QUICK)))
                for _ in range(CHANNELS)
            ]
            with ExitStack() as first:
                first.enter_context(proxy())
                sizes = await asyncio.gather(*(each.upload(iter([message] * 2), timeout=30.0) for each in calls))
                assert [size.value for size in sizes] == [2 * MIB] * CHANNELS
                assert forwarder.counters.opened == CHANNELS
                talks = [each.talk() for each in calls]
                for talk in talks:
                    await talk.write(BytesValue(value=b"hello"))
                assert [(await talk.read()).value for talk in talks] == [b"hello"] * CHANNELS
                await to_thread.run_sync(first.close)
            codes = [await talk.code() for talk in talks]
            assert codes == [grpc.StatusCode.UNAVAILABLE] * CHANNELS
            with pytest.raises(aio.AioRpcError) as caught:
                await calls[0].say(message, timeout=10.0)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            with proxy():
                replies = await asyncio.gather(
                    *(each.say(message, timeout=30.0, wait_for_ready=True) for each in calls)
                )
            assert [len(reply.value) for reply in replies] == [MIB] * CHANNELS
    assert forwarder.counters.open == 0


@pytest.fixture
def web() -> Iterator[int]:
    """A web server of one page, which is longer than one read; yields its port."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * MIB)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as serving:
        thread = Thread(target=serving.serve_forever)
        thread.start()
        yield serving.server_address[1]
        serving.shutdown()
        thread.join()


async def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [find("curl", "curl"), "--silent", "--show-error", "--max-time", "20", *arguments]
    return await to_thread.run_sync(lambda: subprocess.run(command, capture_output=True, check=False))


@pytest.mark.parametrize("credentials", [[], ["--proxy-user", "alice:s3cret"]])
async def test_curl_through_the_socks5_server(web: int, credentials: list[str]) -> None:
    records: list[ForwardedConnection] = []
    listener = Socks5Listener(SocketConnector(), report=records.append)
    async with listener.serve() as address:
        done = await curl("--proxy", f"socks5h://{address}", *credentials, f"http://localhost:{web}/")
        assert done.stderr == b""
        assert len(done.stdout) == MIB
        done = await curl("--proxy", f"socks5://{address}", *credentials, f"http://127.0.0.1:{web}/")
        assert len(done.stdout) == MIB
    assert [(str(each.target), each.error) for each in records] == [
        (f"tcp://localhost:{web}", None),
        (f"tcp://127.0.0.1:{web}", None),
    ]


async def test_curl_is_told_that_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with Socks5Listener(SocketConnector()).serve() as address:
        done = await curl("--proxy", f"socks5h://{address}", f"http://127.0.0.1:{port}/")
    assert done.returncode == 97
    assert b"(5)" in done.stderr


async def test_curl_through_a_unix_socket(web: int, tmp_path: Path) -> None:
    forwarder = Forwarder(SocketConnector(), f"127.0.0.1:{web}")
    async with forwarder.serve(f"unix:{tmp_path}/web"):
        done = await curl("--unix-socket", f"{tmp_path}/web", "http://any.name/")
        assert len(done.stdout) == MIB

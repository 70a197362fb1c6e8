"""With a proxy, the target's name is not resolved and only the proxy is dialled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from tests.interop.grpcio_echo import grpcio_echo
from tests.interop.programs import loopback_address
from tests.interop.targets import echo
from tests.interop.traces import Trace, python

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

BACKENDS = ["asyncio", "trio"]

Traced = Callable[[Sequence[str]], Awaitable[Trace]]

DIAL = """
import sys
import anyio
from ziggurat.layers import Isolated, ServiceBuilder
from ziggurat.services import ConnectError, TcpConnector, Uri

backend, proxy, host, port = sys.argv[1:]

async def main():
    builder = ServiceBuilder().logging().timeout(20.0)
    if proxy != "none":
        builder = builder.socks5(proxy, auth=Isolated(required=False))
    connector = builder.keepalive(10.0).timeout(5.0).service(TcpConnector())
    try:
        async with await connector(Uri("http", host, int(port))) as stream:
            await stream.send(b"hello")
            print((await stream.receive()).decode())
    except ConnectError as error:
        print(type(error).__name__, error.sent_to_target)

anyio.run(main, backend=backend)
"""

CALL = """
import asyncio
import sys
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.client import UnaryUnaryMethod
from ziggurat.layers import ServiceBuilder
from ziggurat.services import Endpoint, TcpConnector

proxy, host, port = sys.argv[1:]

async def main():
    connector = ServiceBuilder().socks5(proxy).service(TcpConnector())
    async with Endpoint(f"http://{host}:{port}").connect(connector) as channel:
        say = UnaryUnaryMethod(channel, "/test.Echo/Say", BytesValue, BytesValue)
        print((await say(BytesValue(value=b"hello"))).value.decode())

asyncio.run(main())
"""


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_dial_by_name_contacts_only_the_proxy(backend: str, microsocks: str, traced: Traced) -> None:
    async with echo() as port:
        trace = await traced(python("-c", DIAL, backend, microsocks, "localhost", str(port)))

    assert (trace.code, trace.stdout) == (0, "hello\n"), trace.stderr
    assert trace.contacted == {microsocks}
    assert trace.looked_up == set()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_leak_is_detected(backend: str, traced: Traced) -> None:
    """Without a proxy, the trace must show the lookup and the target."""
    async with echo() as port:
        trace = await traced(python("-c", DIAL, backend, "none", "localhost", str(port)))

    assert (trace.code, trace.stdout) == (0, "hello\n"), trace.stderr
    assert f"127.0.0.1:{port}" in trace.contacted
    assert trace.looked_up


async def test_a_grpc_call_by_name_contacts_only_the_proxy(microsocks: str, traced: Traced) -> None:
    with grpcio_echo() as server:
        trace = await traced(python("-c", CALL, microsocks, "localhost", str(server.port)))

    assert (trace.code, trace.stdout) == (0, "hello\n"), trace.stderr
    assert trace.contacted == {microsocks}
    assert trace.looked_up == set()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_dead_proxy_is_an_error_without_a_direct_dial(backend: str, traced: Traced) -> None:
    proxy = f"{loopback_address()}:1080"
    async with echo() as port:
        trace = await traced(python("-c", DIAL, backend, proxy, "localhost", str(port)))

    assert (trace.code, trace.stdout) == (0, "ConnectRefused False\n"), trace.stderr
    assert trace.contacted == {proxy}
    assert trace.looked_up == set()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_refusal_of_the_proxy_is_an_error_without_a_direct_dial(
    backend: str, microsocks_with_password: str, traced: Traced
) -> None:
    async with echo() as port:
        argv = python("-c", DIAL, backend, microsocks_with_password, "localhost", str(port))
        trace = await traced(argv)

    assert (trace.code, trace.stdout) == (0, "ProxyAuthError False\n"), trace.stderr
    assert trace.contacted == {microsocks_with_password}
    assert trace.looked_up == set()

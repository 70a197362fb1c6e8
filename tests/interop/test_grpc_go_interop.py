"""gRPC's interop tests against grpc-go's server, directly and through SOCKS5, and by grpc-go's client.

These are all cases that grpc-go's server can answer: it knows none of those about compressed messages, nor
``cacheable_unary``.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.interop.go_messages import GoMessages
from tests.interop.go_programs import GRPC_GO_CLIENT, GRPC_GO_SERVER
from tests.interop.grpc_cases import CASES, SOAK_CALLS, SOAK_CHANNELS, SOAK_WORKERS, Peer
from tests.interop.grpc_testing import GzipServer, OpenRca, TestService, load
from tests.interop.programs import answers, running
from ziggurat.layers import ServiceBuilder
from ziggurat.layers.testing import Socks5Server
from ziggurat.services import Endpoint, TcpConnector

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

LIMIT = 30.0
"""Limit in seconds of a case that would otherwise hang."""

ORCA_POLICY = '{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}'
"""The policy of grpc-go's client that reads the reports."""


@pytest.fixture(scope="module")
def server(new_folder: Callable[[str], Path]) -> Iterator[tuple[int, GoMessages]]:
    """Run grpc-go's server; yields its port and its messages."""
    program = GRPC_GO_SERVER.find()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
    log = new_folder("grpc-go") / "server.log"
    with running([program, "-port", str(port)], log, lambda: answers("127.0.0.1", port)):
        yield port, load(program)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("route", ["direct", "socks5"])
async def test_our_channel(server: tuple[int, GoMessages], route: str, case: Callable[[Peer], Awaitable[None]]) -> None:
    port, messages = server
    proxy = Socks5Server()
    async with proxy.serve() as uri:
        stack = ServiceBuilder() if route == "direct" else ServiceBuilder().socks5(uri)
        endpoint = Endpoint(f"http://127.0.0.1:{port}")

        def open_channel() -> Any:
            return endpoint.connect(stack.service(TcpConnector()))

        with anyio.fail_after(LIMIT):
            async with open_channel() as channel:
                await case(Peer(channel, open_channel, messages))
    assert bool(proxy.requests) == (route == "socks5")


@asynccontextmanager
async def our_server(program: str) -> AsyncIterator[int]:
    """Run the test service on grpclib's server with our mixin; yields the port."""
    service = TestService(load(program))
    server = GzipServer([service, OpenRca(service)])
    with socket.create_server(("127.0.0.1", 0)) as bound:
        await server.start(sock=bound)
        yield bound.getsockname()[1]
        server.close()
        await server.wait_closed()


FAILS = {
    "unimplemented_method": "grpclib's answer to an unknown method has no content-type",
    "unimplemented_service": "grpclib's answer to an unknown method has no content-type",
}
"""Cases of grpc-go's client that are expected to fail, with the reason. One that passes is a failure, too."""


def named(case: Callable[..., object]) -> object:
    name = case.__name__
    fails = [pytest.mark.xfail(reason=FAILS[name])] if name in FAILS else []
    return pytest.param(name, marks=fails)


@pytest.mark.parametrize("case", [named(case) for case in CASES])
async def test_grpc_gos_client(case: str) -> None:
    program = GRPC_GO_CLIENT.find()
    async with our_server(program) as port:
        command = [program, "-server_host", "127.0.0.1", "-server_port", str(port), "-test_case", case]
        command += ["-soak_iterations", str(SOAK_CALLS if case == "rpc_soak" else SOAK_CHANNELS)]
        if case.startswith("orca"):
            command += ["-service_config_json", ORCA_POLICY]
        command += ["-soak_num_threads", str(SOAK_WORKERS), "-soak_overall_timeout_seconds", "20"]
        with anyio.fail_after(LIMIT):
            done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stderr.decode()

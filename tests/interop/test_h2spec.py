"""h2spec, a suite for HTTP/2 servers, against the node's listener and against a server with our mixin.

Its requests are those of a browser, not of gRPC: the answer to each is an HTTP status without a body. Some of its cases
expect something else of a server and cannot pass; others it skips for the same reason.
"""

from __future__ import annotations

import socket
import xml.etree.ElementTree
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from grpclib.server import Server

from tests.interop.go_programs import H2SPEC
from ziggurat.node.address import NetAddress
from ziggurat.node.connection_handler import MAX_MESSAGE_SIZE
from ziggurat.node.inbound.limits import ConnectionCounter, InboundLimits
from ziggurat.node.inbound.listener import TcpListener
from ziggurat.node.inbound.server import PeerServer
from ziggurat.services import CompressionMixin

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

LIMIT = 180.0
"""Limit in seconds of a run. Each case that fails waits for its own limit."""

CASE_LIMIT = 1
"""Limit in seconds of a case."""

FAILS = {
    "generic/2 Sends a WINDOW_UPDATE frame on half-closed (remote) stream": "no body, so no DATA to wait for",
    "generic/2 Sends a PRIORITY frame on half-closed (remote) stream": "no body, so no DATA to wait for",
    "http2/4.2 Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE": "20 kB; we announce 256 KiB",
}
"""Cases that are expected to fail, with the reason. One that passes is a failure, too."""

FLAKY = {
    "http2/5.1.2 Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded": (
        "a stream that is answered at once does not count any more when the last one is opened"
    ),
    "http2/4.2 Sends a DATA frame with 2^14 octets in length": (
        "it has the size that we announce, 256 KiB, and so overruns the node's window of 64 KiB before the handshake"
    ),
    "http2/6.9.1 Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream": (
        "the request may have been refused, and its stream reset, before the window grows too large"
    ),
    "http2/5.1 closed: Sends a DATA frame after sending RST_STREAM frame": (
        "the request may have been answered, and its stream reset by us, before the client's RST_STREAM is read"
    ),
}
"""Cases that may fail, depending on which of two things happens first."""

SKIPPED = {
    "http2/6.5.3 Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE",
    "http2/6.9.1 Sends SETTINGS frame to set the initial window size to 1 and sends HEADERS frame",
    "http2/6.9.2 Changes SETTINGS_INITIAL_WINDOW_SIZE after sending HEADERS frame",
    "http2/6.9.2 Sends a SETTINGS frame for window size to be negative",
}
"""Cases that h2spec skips without a body in the answer."""


class GzipServer(CompressionMixin, Server):
    """grpclib's server with our mixin."""


@asynccontextmanager
async def mixin() -> AsyncIterator[int]:
    """Run a server with our mixin; yields the port."""
    server = GzipServer([])
    with socket.create_server(("127.0.0.1", 0)) as bound:
        await server.start(sock=bound)
        yield bound.getsockname()[1]
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def listener() -> AsyncIterator[int]:
    """Run the node's server for inbound peers; yields the port.

    It closes a connection that has made no request for the message stream. That would pass for the right answer to a
    malformed request, so here it waits.
    """
    server = PeerServer(
        TcpListener(NetAddress.parse("127.0.0.1:0")),
        ConnectionCounter(InboundLimits(), lambda: False),
        lambda stream: None,
        max_message_size=MAX_MESSAGE_SIZE,
        close_timeout=LIMIT,
    )
    address = await server.start()
    yield address.port
    await server.aclose()


@pytest.mark.parametrize("serve", [mixin, listener])
async def test_h2spec(tmp_path: Path, serve: Callable[[], AbstractAsyncContextManager[int]]) -> None:
    program, report = H2SPEC.find(), tmp_path / "report.xml"
    async with serve() as port:
        command = [program, "-S", "-h", "127.0.0.1", "-p", str(port), "-o", str(CASE_LIMIT), "-j", str(report)]
        with anyio.fail_after(LIMIT):
            done = await anyio.run_process(command, check=False)
    results = read(report)
    ended = {kind: {name for name, result in results.items() if result == kind} for kind in ("error", "skipped")}

    assert len(results) == 146
    assert ended["error"] - {*FLAKY} == {*FAILS}, done.stdout.decode()
    assert ended["skipped"] == SKIPPED


def read(report: Path) -> dict[str, str]:
    """Return how each case ended: ``passed``, ``error`` or ``skipped``."""
    cases = xml.etree.ElementTree.parse(report).iter("testcase")
    return {f"{case.get('package')} {case.get('classname')}": result(case) for case in cases}


def result(case: xml.etree.ElementTree.Element) -> str:
    for outcome in case:
        said = outcome.text or ""
        if "Connection closed" in said and "connection reset by peer" in said:
            break  # it was closed: h2spec had sent more than was read, so that TCP resets it
        return outcome.tag
    return "passed"

"""Start and stop the far ends; the client runs on the first core, they run on the last."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fast_server import fast_server
from measure import cores, pin

__all__ = [
    *("client_core", "ended", "free_port", "listening_on", "proxy", "proxy_name", "server", "server_core"),
    "server_process",
]

HERE = Path(__file__).parent
ALL_CORES = cores()  # before anything is pinned


def client_core() -> int | None:
    """Return the client's core; ``None`` if there is only one, or the system cannot pin."""
    return ALL_CORES[0] if len(ALL_CORES) > 1 else None


def server_core() -> int | None:
    """Return the core of servers and proxies; ``None`` as for the client."""
    return ALL_CORES[-1] if len(ALL_CORES) > 1 else None


@asynccontextmanager
async def server(kind: str, *, certificate: str | None = None) -> AsyncIterator[int]:
    """Run `server_process`; yields its port."""
    async with server_process(kind, certificate=certificate) as (port, _):
        yield port


@asynccontextmanager
async def server_process(kind: str, *, certificate: str | None = None) -> AsyncIterator[tuple[int, int]]:
    """Run ``servers.py kind``, or the fast server, for the duration of the block; yields its port and its number."""
    command = [sys.executable, str(HERE / "servers.py"), kind]
    if kind == "grpc-go":
        program = fast_server()
        assert program is not None
        command = [program]
    if certificate is not None:
        command += ["--certificate", certificate]
    pin(server_core())  # inherited
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    finally:
        pin(client_core())
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server {kind!r} did not start")
        yield int(line), process.pid
    finally:
        process.stdin.close()
        await ended(process)


def proxy_name() -> str:
    """Return which proxy `proxy` runs."""
    return "microsocks" if shutil.which("microsocks") else "layers.testing.Socks5Server"


@asynccontextmanager
async def proxy() -> AsyncIterator[int]:
    """Run a SOCKS5 proxy without authentication, microsocks if installed, else ours; yields its port."""
    program = shutil.which("microsocks")
    if program is None:
        async with server("socks5") as port:
            yield port
        return
    port = free_port()
    pin(server_core())  # inherited; microsocks has no option for it
    try:
        arguments = ["-i", "127.0.0.1", "-p", str(port)]
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stderr=DEVNULL
        )  # it writes a line for each client
    finally:
        pin(client_core())
    try:
        await listening_on(port)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await ended(process)


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


async def listening_on(port: int) -> None:
    """Wait until somebody listens on a port."""
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise RuntimeError(f"nobody listens on {port}")


async def ended(process: Process) -> None:
    """Wait for the end of a process, and kill it if it does not come."""
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()

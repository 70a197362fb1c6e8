"""Both ends of the control socket: one request per connection, a word; the reply is one line of JSON.

The socket is in the node's directory, and only its owner may connect.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio

from ziggurat.node.inbound import accept_connections

__all__ = ["NotRunning", "ask", "serve_control"]

SOCKET_FILE = "control.sock"

BACKLOG = 16
"""Connections that the kernel may complete before they are accepted."""

MAX_REQUEST_SIZE = 1024
"""Bytes. A request is one word."""

REQUEST_TIMEOUT = 5.0
"""Seconds for the server to read a request and write the reply, and for each step of the client."""

MAX_PATH_LENGTH = 100
"""Bytes of a socket's path; ``sun_path`` has 104 or 108, including the terminating zero."""


class NotRunning(OSError):
    """No node is running in the directory, or it does not reply."""


@asynccontextmanager
async def serve_control(directory: Path, handlers: Mapping[str, Callable[[], object]]) -> AsyncGenerator[None, None]:
    """Answer requests for the length of an ``async with`` block.

    Args:
        directory: the node's directory. The caller holds its lock (see `locked`), so a socket there is stale.
        handlers: a function per request, which returns the reply as a value for JSON.

    Raises:
        OSError: the socket cannot be created.
    """
    path = directory / SOCKET_FILE
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(path) as name:
            before = os.umask(0o177)  # so that the socket never has another mode
            try:
                listener.bind(name)
            except OSError as error:  # it does not name the file
                raise OSError(error.errno, error.strerror, str(path)) from error
            finally:
                os.umask(before)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        async with anyio.create_task_group() as tasks:

            def take(connection: socket.socket) -> None:
                tasks.start_soon(_serve, connection, handlers)

            tasks.start_soon(accept_connections, listener, SOCKET_FILE, take)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()  # open connections as well
                path.unlink(missing_ok=True)
    finally:
        listener.close()


async def _serve(connection: socket.socket, handlers: Mapping[str, Callable[[], object]]) -> None:
    loop = asyncio.get_running_loop()
    with connection, anyio.move_on_after(REQUEST_TIMEOUT):
        try:
            request = b""
            while b"\n" not in request:
                received = await loop.sock_recv(connection, MAX_REQUEST_SIZE)
                request += received
                if not received or len(request) > MAX_REQUEST_SIZE:
                    return
            handler = handlers.get(request.partition(b"\n")[0].decode(errors="replace").strip())
            reply = {"error": "unknown request"} if handler is None else {"answer": handler()}
            await loop.sock_sendall(connection, json.dumps(reply).encode() + b"\n")
        except OSError:  # the client is gone
            pass


def ask(directory: Path, request: str) -> object:
    """Send a request to the node that is running in a directory, and return its reply.

    Raises:
        NotRunning: no node is running there, or it does not reply.
    """
    try:
        with _short_path(directory / SOCKET_FILE) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as node:
            node.settimeout(REQUEST_TIMEOUT)
            node.connect(name)
            node.sendall(f"{request}\n".encode())
            with node.makefile("rb") as replies:
                reply = cast("dict[str, object]", json.loads(replies.readline()))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no reply"
        raise NotRunning(f"no node is running in {directory} ({reason})") from error
    if "answer" not in reply:
        raise NotRunning(f"the node in {directory} replied: {reply.get('error')}")
    return reply["answer"]


class _short_path:
    """A context manager for a path to the socket that fits into ``sun_path``, however deep its directory is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= MAX_PATH_LENGTH or not Path("/proc/self/fd").is_dir():
            return str(self._path)
        self._descriptor = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}/{self._path.name}"

    def __exit__(self, *exc: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

"""Both ends of the control socket: one request per connection, a line; the reply is one line of JSON.

A request is a word. A command, which changes something, has arguments after it: a JSON object.

The socket is in the node's directory, and only its owner may connect.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias, cast

import anyio

from ziggurat.layers.accept import accept_connections

__all__ = ["Arguments", "NotRunning", "RequestRefused", "ask", "is_running", "serve_control"]

Arguments: TypeAlias = Mapping[str, object]
"""The arguments of a command, from JSON, unchecked."""

SOCKET_FILE = "control.sock"

BACKLOG = 16
"""Connections that the kernel may complete before they are accepted."""

MAX_REQUEST_SIZE = 4096
"""Bytes. The longest is a ban of a user agent, of which JSON may escape every character."""

REQUEST_TIMEOUT = 5.0
"""Seconds for the server to read a request and write the reply, and for each step of the client."""

MAX_PATH_LENGTH = 100
"""Bytes of a socket's path; ``sun_path`` has 104 or 108, including the terminating zero."""


class NotRunning(OSError):
    """No node is running in the directory, or it does not reply."""


class RequestRefused(ValueError):
    """The node does not know the request, or refuses its arguments; the message says why."""


@asynccontextmanager
async def serve_control(
    directory: Path,
    handlers: Mapping[str, Callable[[], Awaitable[object]]],
    commands: Mapping[str, Callable[[Arguments], Awaitable[object]]] | None = None,
) -> AsyncGenerator[None, None]:
    """Answer requests for the length of an ``async with`` block.

    Args:
        directory: the node's directory. The caller holds its lock (see `locked`), so a socket there is stale.
        handlers: a function per request, which returns the reply as a value for JSON.
        commands: the same for requests with arguments. A ``ValueError`` refuses them, and its text is the reply.

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
                tasks.start_soon(_serve, connection, handlers, commands or {})

            tasks.start_soon(accept_connections, listener, SOCKET_FILE, take)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()  # open connections as well
                path.unlink(missing_ok=True)
    finally:
        listener.close()


async def _serve(
    connection: socket.socket,
    handlers: Mapping[str, Callable[[], Awaitable[object]]],
    commands: Mapping[str, Callable[[Arguments], Awaitable[object]]],
) -> None:
    loop = asyncio.get_running_loop()
    with connection, anyio.move_on_after(REQUEST_TIMEOUT):
        try:
            request = b""
            while b"\n" not in request:
                received = await loop.sock_recv(connection, MAX_REQUEST_SIZE)
                request += received
                if not received or len(request) > MAX_REQUEST_SIZE:
                    return
            reply = await _reply(request.partition(b"\n")[0].decode(errors="replace"), handlers, commands)
            await loop.sock_sendall(connection, json.dumps(reply).encode() + b"\n")
        except OSError:  # the client is gone
            pass


async def _reply(
    line: str,
    handlers: Mapping[str, Callable[[], Awaitable[object]]],
    commands: Mapping[str, Callable[[Arguments], Awaitable[object]]],
) -> dict[str, object]:
    request, _, text = line.strip().partition(" ")
    if (handler := handlers.get(request)) is not None:
        return {"answer": await handler()}
    if (command := commands.get(request)) is None:
        known = ", ".join(sorted((*handlers, *commands)))
        return {"error": f"unknown request {request[:50]!r}; this node knows {known}"}
    try:
        arguments: object = json.loads(text)
        if not isinstance(arguments, dict):
            raise ValueError("its arguments are no JSON object")
        return {"answer": await command(cast("dict[str, object]", arguments))}
    except (ValueError, RecursionError) as error:
        return {"error": str(error)}


def ask(directory: Path, request: str, arguments: Arguments | None = None) -> object:
    """Send a request to the node that is running in a directory, and return its reply.

    Args:
        directory: the node's directory.
        request: the request.
        arguments: its arguments, if it takes any.

    Raises:
        NotRunning: no node is running there, or it does not reply.
        RequestRefused: the node replied with an error.
    """
    line = request if arguments is None else f"{request} {json.dumps(arguments)}"
    try:
        with _short_path(directory / SOCKET_FILE) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as node:
            node.settimeout(REQUEST_TIMEOUT)
            node.connect(name)
            node.sendall(f"{line}\n".encode())
            with node.makefile("rb") as replies:
                reply = cast("dict[str, object]", json.loads(replies.readline()))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no reply"
        raise NotRunning(f"no node is running in {directory} ({reason})") from error
    if "answer" not in reply:
        raise RequestRefused(str(reply.get("error")))
    return reply["answer"]


def is_running(directory: Path) -> bool:
    """Return whether a node replies to requests in a directory."""
    try:
        ask(directory, "")
    except RequestRefused:  # as it does not know this one
        return True
    except NotRunning:
        return False
    return True


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

"""The control socket, both ends: a running node answers one question a connection, a line of JSON each way.

It lies in the node's own directory, and only its owner may connect.
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

__all__ = ["NotRunning", "ask", "serve_control"]

SOCKET_FILE = "control.sock"

MAX_REQUEST_SIZE = 1024
"""Bytes. A question is a word."""

REQUEST_TIMEOUT = 5.0
"""Seconds for a question to come, or for its answer to be taken, and for a node to answer."""

MAX_PATH_LENGTH = 100
"""Bytes of a socket's path; ``sun_path`` has 104 or 108, a zero included."""


class NotRunning(OSError):
    """No node answers in the directory."""


@asynccontextmanager
async def serve_control(directory: Path, answers: Mapping[str, Callable[[], object]]) -> AsyncGenerator[None, None]:
    """Answer questions for the length of an ``async with`` block.

    Args:
        directory: of the node; nobody else uses it (see `locked`), so that a socket there is a dead one's.
        answers: by the question's word, what to call for something that JSON can say.

    Raises:
        OSError: the socket cannot be made.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                question = (await reader.readline()).decode(errors="replace").strip()
                answer = answers.get(question)
                reply = {"error": "no such question"} if answer is None else {"answer": answer()}
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):  # ValueError: the line is too long; TimeoutError is an OSError
            pass
        finally:
            writer.close()

    path = directory / SOCKET_FILE
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(path) as name:
            before = os.umask(0o177)  # the mode is right from the first moment on
            try:
                listener.bind(name)
            finally:
                os.umask(before)
        server = await asyncio.start_unix_server(serve, sock=listener, limit=MAX_REQUEST_SIZE)
    except BaseException:
        listener.close()
        raise
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def ask(directory: Path, question: str) -> object:
    """Ask the node that runs in a directory.

    Raises:
        NotRunning: none runs there, or it does not answer.
    """
    try:
        with _short_path(directory / SOCKET_FILE) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as node:
            node.settimeout(REQUEST_TIMEOUT)
            node.connect(name)
            node.sendall(f"{question}\n".encode())
            with node.makefile("rb") as answers:
                reply = cast("dict[str, object]", json.loads(answers.readline()))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it does not answer"
        raise NotRunning(f"no node runs in {directory} ({reason})") from error
    if "answer" not in reply:
        raise NotRunning(f"the node in {directory} says: {reply.get('error')}")
    return reply["answer"]


class _short_path:
    """A name by which a socket can be reached however deep its directory is."""

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

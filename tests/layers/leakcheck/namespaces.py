"""What the tests that need a network namespace share."""

from __future__ import annotations

import socket
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest

from ziggurat.layers.leakcheck import NamespaceError
from ziggurat.layers.leakcheck.outside import Inside


@cache
def _reason() -> str | None:
    if sys.platform != "linux":
        return "it needs the network namespaces of Linux"
    try:
        with Inside() as inside:
            sink, loopback, _ = inside.prepare([], [], [])
            sink.close()
            loopback.close()
    except NamespaceError as error:
        return str(error)
    return None


def need_namespaces() -> None:
    """Skip the test where no network namespace can be made."""
    if (reason := _reason()) is not None:
        pytest.skip(reason)


def python(program: str, *arguments: str) -> list[str]:
    """Return a command that runs a program in Python, which has ``socket`` and ``quietly``."""
    head = """
    import socket, sys
    def quietly(function, *arguments):
        try:
            return function(*arguments)
        except OSError:
            pass
    """
    return [sys.executable, "-S", "-c", textwrap.dedent(head) + textwrap.dedent(program), *arguments]


@contextmanager
def echo() -> Iterator[str]:
    """Run a server that sends back what it gets, and yield its address: all that a check needs of a proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    while piece := client.recv(100):
                        client.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()

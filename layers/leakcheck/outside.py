"""The checker's end of the process inside the namespace."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

from ziggurat.layers.leakcheck.channel import Message, receive, send
from ziggurat.layers.leakcheck.namespace import CommandError, NamespaceError

__all__ = ["Inside"]

BOOT = """
import sys, types
channel, maker, layers, *sys.path = sys.argv[1:]
for name, path in (("ziggurat.layers", layers), ("ziggurat.layers.leakcheck", layers + "/leakcheck")):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [path]
from ziggurat.layers.leakcheck.inside import main
main(int(channel), int(maker))
"""
"""What the process runs. The packages are there without their ``__init__``, which would load all layers first."""

LAYERS = str(Path(__file__).parent.parent)


class Inside:
    """The process inside, as a context manager: at the end of the block it is gone, and so is the namespace.

    Its methods raise `NamespaceError` if it says why it failed, or is gone.

    Attributes:
        pid: the process.
    """

    def __init__(self) -> None:
        # One for the course of the run; one for sockets, which the threads of several relays may ask for meanwhile.
        self._channel, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._maker, maker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with channel, maker:
            files = (channel.fileno(), maker.fileno())
            argv = [sys.executable, "-I", "-S", "-c", BOOT, *map(str, files), LAYERS, *filter(None, sys.path)]
            self._process = subprocess.Popen(argv, pass_fds=files)
        self.pid = self._process.pid

    def __enter__(self) -> Inside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()  # it ends when we hang up
        with self._lock:
            self._maker.close()
        self._process.wait()

    def prepare(
        self, listen: list[tuple[str, int]], addresses: list[str], mounts: list[tuple[str, str]]
    ) -> tuple[socket.socket, socket.socket, list[socket.socket]]:
        """Lay the namespace out; see `Message`. Return the recorders of the sink and of loopback, and the listeners."""
        send(self._channel, Message("plan", listen=listen, addresses=addresses, mounts=mounts))
        _, files = self._receive()
        sink, loopback, *listeners = (socket.socket(fileno=file) for file in files)
        return sink, loopback, listeners

    def run(self, argv: list[str]) -> int:
        """Start the command and return its pid, which is that of its process group, too.

        Raises:
            CommandError: it cannot be run.
        """
        send(self._channel, Message("run", argv=argv))
        return self._receive()[0].pid

    def wait(self, seconds: float | None) -> int | None:
        """Wait for the end of the command and return its exit code; ``None`` if the time is up first."""
        self._channel.settimeout(seconds)
        try:
            return self._receive()[0].code
        except TimeoutError:
            return None

    def socket(self, family: int) -> socket.socket:
        """Return a new TCP socket of the namespace. Raises `OSError`."""
        with self._lock:
            send(self._maker, Message("socket", family=family))
            try:
                _, files = receive(self._maker)
            except EOFError:
                raise ConnectionError("the namespace is gone") from None
        return socket.socket(fileno=files[0])

    def _receive(self) -> tuple[Message, list[int]]:
        try:
            message, files = receive(self._channel)
        except (EOFError, ConnectionError):
            raise NamespaceError("the process inside the namespace ended unexpectedly") from None
        if message.kind == "unrunnable":
            raise CommandError(message.text)
        if message.kind == "error":
            raise NamespaceError(message.text)
        return message, files

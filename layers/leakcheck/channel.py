"""The channel between the checker and the process inside the namespace: messages with open files."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass

__all__ = ["Message", "receive", "send"]

MAX_MESSAGE, MAX_FILES = 262_144, 64


@dataclass(frozen=True, slots=True)
class Message:
    """A message; of the fields those of its kind matter.

    Attributes:
        kind: to the inside ``plan``, ``run``, ``socket``; to the checker ``ready``, ``started``, ``ended``, ``socket``,
            ``unrunnable``, ``error``.
        argv: the command.
        listen: where to listen: host and port of each proxy.
        addresses: addresses of other machines that loopback gets, too.
        mounts: source and target of each file that replaces another.
        family: of a socket.
        pid, code: of the command.
        text: of ``unrunnable`` and ``error``: the reason.
    """

    kind: str
    argv: Sequence[str] = ()
    listen: Sequence[tuple[str, int]] = ()
    addresses: Sequence[str] = ()
    mounts: Sequence[tuple[str, str]] = ()
    family: int = 0
    pid: int = 0
    code: int = 0
    text: str = ""


def send(channel: socket.socket, message: Message, files: list[int] | None = None) -> None:
    """Send a message with copies of open files. Raises `OSError`."""
    socket.send_fds(channel, [json.dumps(asdict(message)).encode()], files or [])


def receive(channel: socket.socket) -> tuple[Message, list[int]]:
    """Receive a message and its files.

    Raises:
        EOFError: the other end is gone.
        OSError: as of sockets.
    """
    data, files, _, _ = socket.recv_fds(channel, MAX_MESSAGE, MAX_FILES)
    if not data:
        raise EOFError
    return Message(**json.loads(data)), files

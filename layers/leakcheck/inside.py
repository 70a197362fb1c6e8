"""The process inside the namespace: lays it out, hands sockets of it outside, and runs the command.

`main` is what the checker runs in a fresh interpreter, since only a process with one thread can enter a user namespace.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import select
import signal
import socket
import struct
from typing import NoReturn

from ziggurat.layers.leakcheck.channel import Message, receive, send
from ziggurat.layers.leakcheck.namespace import (
    DRAIN,
    CommandError,
    NamespaceError,
    enter_namespace,
    lay_out,
    mount_over,
)

__all__ = ["FILTER", "main"]

ALL_PROTOCOLS = 0x0003  # ETH_P_ALL

SNAPSHOT = 2048
"""Bytes of a packet that are recorded."""

BUFFER = 4 << 20

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER


def main(channel_file: int, maker_file: int) -> None:
    """Serve the checker, which has the other ends of two sockets, until it hangs up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the checker ends the run
    channel, maker = socket.socket(fileno=channel_file), socket.socket(fileno=maker_file)
    try:
        plan, _ = receive(channel)
        send(channel, Message("ready"), _prepare(plan))
        message, _ = receive(channel)  # run
        child = _start([*message.argv])
    except CommandError as error:
        send(channel, Message("unrunnable", text=str(error)))
        return
    except (NamespaceError, OSError) as error:
        text = str(error) if isinstance(error, NamespaceError) else (error.strerror or str(error))
        send(channel, Message("error", text=text))
        return
    except EOFError:
        return
    send(channel, Message("started", pid=child))
    _serve(channel, maker, child)


def _prepare(plan: Message) -> list[int]:
    """Return the sockets: the recorders of the sink and of loopback, and one for each proxy, bound but deaf."""
    enter_namespace()
    lay_out(map(ipaddress.ip_address, plan.addresses))
    for source, target in plan.mounts:
        mount_over(source, target)
    sockets = [_recorder(DRAIN, socket.SOCK_RAW), _recorder("lo", socket.SOCK_DGRAM)]
    for host, port in plan.listen:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        sockets.append(listener)
    return [each.detach() for each in sockets]


def _recorder(interface: str, kind: int) -> socket.socket:
    recorder = socket.socket(socket.AF_PACKET, kind, 0)
    if kind == socket.SOCK_DGRAM:
        # What passes through the proxy is on loopback, too: only the beginnings and the refusals matter.
        code = b"".join(struct.pack("=HBBI", *line) for line in FILTER)
        memory = ctypes.create_string_buffer(code)
        recorder.setsockopt(
            socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(FILTER), ctypes.addressof(memory))
        )
    recorder.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    recorder.bind((interface, ALL_PROTOCOLS))
    return recorder


FILTER = (
    (0x30, 0, 0, 0),  # ldb [0]
    (0x74, 0, 0, 4),  # rsh #4
    (0x15, 1, 0, 4),  # jeq #4: IPv4
    (0x15, 5, 10, 6),  # jeq #6: IPv6, else drop
    (0x30, 0, 0, 9),  # IPv4: ldb [9], the protocol
    (0x15, 0, 7, 6),  # jeq #6: TCP, else keep
    (0xB1, 0, 0, 0),  # ldxb 4*([0]&0xf), the header's length
    (0x50, 0, 0, 13),  # ldb [x + 13], the flags
    (0x45, 4, 5, 0x06),  # jset #SYN|RST: keep, else drop
    (0x30, 0, 0, 6),  # IPv6: ldb [6], the next header
    (0x15, 0, 2, 6),  # jeq #6: TCP, else keep
    (0x30, 0, 0, 53),  # ldb [40 + 13], the flags
    (0x45, 0, 1, 0x06),  # jset #SYN|RST: keep, else drop
    (0x06, 0, 0, SNAPSHOT),
    (0x06, 0, 0, 0),
)
"""Which packets of loopback are recorded, in BPF (Linux's networking/filter.txt): of TCP only those with SYN or RST."""


def _start(argv: list[str]) -> int:
    """Start the command in a session of its own and return its pid. What it leaves behind becomes our child."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    failed, report = os.pipe()  # both are closed by a successful exec
    child = os.fork()
    if child == 0:
        _become(argv, report)
    os.close(report)
    with open(failed, "rb") as pipe:
        if code := pipe.read():
            os.waitpid(child, 0)
            raise CommandError(f"{argv[0]} cannot be run ({os.strerror(int(code))})")
    return child


def _become(argv: list[str], report: int) -> NoReturn:
    try:
        os.setsid()
        os.dup2(2, 1)  # stdout is for the result
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(report, str(error.errno).encode())
    os._exit(127)


def _serve(channel: socket.socket, maker: socket.socket, child: int) -> None:
    """Make sockets for the checker until it hangs up. Tell it when the command has ended."""
    ended = os.pidfd_open(child)
    watched: list[int | socket.socket] = [channel, maker, ended]
    while channel in watched:
        ready, _, _ = select.select(watched, [], [])
        if ended in ready:
            status = os.waitpid(child, 0)[1]
            watched.remove(ended)
            if channel not in ready:
                send(channel, Message("ended", code=os.waitstatus_to_exitcode(status)))
        if maker in ready:
            _make_socket(maker, watched)
        if channel in ready:  # it says nothing more: the checker hung up
            watched.remove(channel)
    if ended in watched:
        os.killpg(child, signal.SIGKILL)


def _make_socket(maker: socket.socket, watched: list[int | socket.socket]) -> None:
    try:
        message, _ = receive(maker)
        with socket.socket(message.family) as fresh:
            send(maker, Message("socket"), [fresh.fileno()])
    except (EOFError, OSError):
        watched.remove(maker)

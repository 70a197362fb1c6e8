"""Run a real kaspad on its own loopback address, kill it and restart it. Without a kaspad the test is skipped.

Install it with ``cargo install --locked kaspad``. ``ZIGGURAT_KASPAD`` is the path of one that is not on ``PATH``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import ip_address
from pathlib import Path

import anyio
import pytest
from grpclib.client import StreamStreamMethod
from grpclib.encoding.base import CodecBase

from tests.interop.programs import answers, loopback_address, running
from ziggurat.node.address import NetAddress
from ziggurat.services import Endpoint, TcpConnector

__all__ = ["PORT", "Program", "kaspad_program", "routable_address", "starting"]

PORT, RPC_PORT = 16611, 16610
QUIET = "--outpeers=0 --nodnsseed --disable-upnp --nologfiles --yes --ram-scale=0.3 --loglevel=debug"
START = 60.0
"""Start-up limit in seconds: the database is created first."""

UNREACHABLE = "192.0.2.1"
"""An address for documentation (RFC 5737). Nothing is sent to it: it only selects our outgoing address."""


RPC = "/protowire.RPC/MessageStream"
SUBMIT_BLOCK_REQUEST, SUBMIT_BLOCK_RESPONSE = 1003, 1004
GET_BLOCK_TEMPLATE_REQUEST, GET_BLOCK_TEMPLATE_RESPONSE = 1005, 1006
BAN_REQUEST, BAN_RESPONSE = 1059, 1060
"""Field numbers in kaspad's RPC schema, which differs from the P2P schema."""

PAY_ADDRESS = "kaspasim:qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqekcujlt2"
PAY_SCRIPT = b"\x20" + bytes(32) + b"\xac"
"""The address of a public key of 32 zeros, and its script: push 32 bytes, OP_CHECKSIG."""


class Plain(CodecBase):
    """A codec whose messages are bytes."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: object) -> bytes:
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        return data


def field(number: int, value: bytes) -> bytes:
    """Encode a length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 128 else bytes([low | 0x80]) + varint(value >> 7)


def fields(message: bytes) -> dict[int, bytes]:
    """Return the length-delimited fields of a message by number; these schemas otherwise only have varints."""
    found: dict[int, bytes] = {}
    at = 0

    def read() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        tag, size = read(), read()
        if tag & 7 == 2:
            found[tag >> 3] = message[at : at + size]
            at += size
    return found


def kaspad_program() -> str:
    """Return the path of kaspad; skip the test without one."""
    found = os.environ.get("ZIGGURAT_KASPAD") or shutil.which("kaspad")
    if found is None:
        pytest.skip("kaspad is not installed (name it in ZIGGURAT_KASPAD)")
    return found


def routable_address() -> NetAddress:
    """Return an address of this machine other than loopback, which address books refuse, with a free port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((UNREACHABLE, 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        ip = str(probe.getsockname()[0])
    with socket.socket() as probe:
        probe.bind((ip, 0))
        return NetAddress(ip_address(ip), int(probe.getsockname()[1]))


class Program:
    """A kaspad.

    Args:
        folder: folder for its data and log.
        flags: additional flags.
        network: ``devnet`` or ``simnet``.
        address: the address to listen on; ``None`` for an unused loopback address.
        rpc: whether to serve RPC, on port 16610 of the same address.

    Attributes:
        address: the address it listens on.
        process: the process started last.
    """

    def __init__(
        self,
        folder: Path,
        *flags: str,
        network: str = "devnet",
        address: NetAddress | None = None,
        rpc: bool = False,
    ) -> None:
        self.address = address or NetAddress(ip_address(loopback_address()), PORT)
        self.process: subprocess.Popen[bytes]
        self.logs: list[Path] = []
        self._folder = folder
        self._argv = [
            *(kaspad_program(), f"--{network}", "-b", str(folder), f"--listen={self.address}"),
            *(*QUIET.split(), *flags),
            *((f"--rpclisten={self.address.ip}:{RPC_PORT}", "--unsaferpc") if rpc else ("--nogrpc",)),
        ]
        self._running: AbstractContextManager[subprocess.Popen[bytes]] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        log = self._folder / f"log{len(self.logs)}"
        self.logs.append(log)
        host, port = str(self.address.ip), self.address.port
        self._running = running(self._argv, log, lambda: answers(host, port), stop=signal.SIGINT, limit=START)
        self.process = self._running.__enter__()

    def stop(self) -> None:
        """Stop it if it is running."""
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.stop()

    async def ban(self, ip: str) -> None:
        """Ban an IP address."""
        answer = await self._order(field(BAN_REQUEST, field(1, ip.encode())))
        assert answer == field(BAN_RESPONSE, b""), "kaspad returned an error"

    async def mine(self) -> None:
        """Mine a block. Only for simnet, where blocks need no proof of work."""
        answer = await self._order(field(GET_BLOCK_TEMPLATE_REQUEST, field(1, PAY_ADDRESS.encode())))
        block = fields(fields(answer)[GET_BLOCK_TEMPLATE_RESPONSE])[3]
        answer = await self._order(field(SUBMIT_BLOCK_REQUEST, field(2, block)))
        assert answer == field(SUBMIT_BLOCK_RESPONSE, b""), "kaspad returned an error or refused the block"

    async def _order(self, request: bytes) -> bytes:
        endpoint = Endpoint(f"http://{self.address.ip}:{RPC_PORT}", codec=Plain())
        with anyio.fail_after(START):
            async with (
                endpoint.connect(TcpConnector()) as channel,
                StreamStreamMethod(channel, RPC, bytes, bytes).open() as stream,
            ):
                await stream.send_message(request)
                answer = await stream.recv_message()
                await stream.cancel()
        assert answer is not None
        return answer

    def log(self) -> str:
        """Return its log since the first start."""
        return "".join(log.read_text(errors="replace") for log in self.logs)

    def said(self, text: str) -> bool:
        return text in self.log()

    def warnings(self) -> list[str]:
        """Return the warnings and errors of its log."""
        return [line for line in self.log().splitlines() if "[WARN" in line or "[ERROR" in line]


@contextmanager
def starting(
    new_folder: Callable[[str], Path], *flags: str, network: str = "devnet", rpc: bool = False
) -> Iterator[Program]:
    """Run a new kaspad for the duration of a ``with`` block."""
    kaspad = Program(new_folder("kaspad"), *flags, network=network, rpc=rpc)
    kaspad.start()
    try:
        yield kaspad
    finally:
        kaspad.stop()

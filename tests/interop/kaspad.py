"""A real kaspad: found or the test is skipped, started on an address of its own, killed and started again.

It comes from crates.io: ``cargo install --locked kaspad``. ``ZIGGURAT_KASPAD`` names one that is not on the path.
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
"""Seconds: its database is made first."""

UNREACHABLE = "192.0.2.1"
"""RFC 5737: nobody is there, and nothing is sent to find out which of our addresses would be used."""


RPC = "/protowire.RPC/MessageStream"
SUBMIT_BLOCK_REQUEST, SUBMIT_BLOCK_RESPONSE = 1003, 1004
GET_BLOCK_TEMPLATE_REQUEST, GET_BLOCK_TEMPLATE_RESPONSE = 1005, 1006
BAN_REQUEST, BAN_RESPONSE = 1059, 1060
"""Numbers in the schema of kaspad's orders, which is another than that of peers."""

PAY_ADDRESS = "kaspasim:qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqekcujlt2"
PAY_SCRIPT = b"\x20" + bytes(32) + b"\xac"
"""The address of the public key that is 32 zeros, and its script: push 32 bytes, OP_CHECKSIG."""


class Plain(CodecBase):
    """Messages as bytes."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: object) -> bytes:
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        return data


def field(number: int, value: bytes) -> bytes:
    """A field of protobuf that has a length."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 128 else bytes([low | 0x80]) + varint(value >> 7)


def fields(message: bytes) -> dict[int, bytes]:
    """The fields of a message that have a length, by number; numbers, the other kind in these schemas, are left out."""
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
    """The path of kaspad; where there is none the test is skipped."""
    found = os.environ.get("ZIGGURAT_KASPAD") or shutil.which("kaspad")
    if found is None:
        pytest.skip("kaspad is not installed (name it in ZIGGURAT_KASPAD)")
    return found


def routable_address() -> NetAddress:
    """An address of this machine that is not loopback, which no address book takes, and a port that is free there."""
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
    """One kaspad.

    Args:
        folder: for its data and its log.
        flags: more of them.
        network: ``devnet`` or ``simnet``.
        address: where it listens; ``None`` takes a loopback address that nobody else has.
        rpc: whether it takes orders, at port 16610 of the same address.

    Attributes:
        address: as above.
        process: the last one that was started.
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
        """Start it, and wait until it listens."""
        log = self._folder / f"log{len(self.logs)}"
        self.logs.append(log)
        host, port = str(self.address.ip), self.address.port
        self._running = running(self._argv, log, lambda: answers(host, port), stop=signal.SIGINT, limit=START)
        self.process = self._running.__enter__()

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.stop()

    async def ban(self, ip: str) -> None:
        """Have it refuse this IP."""
        answer = await self._order(field(BAN_REQUEST, field(1, ip.encode())))
        assert answer == field(BAN_RESPONSE, b""), "it has an error in it"

    async def mine(self) -> None:
        """Have it add a block to its chain. It must be on simnet, where blocks need no proof of work."""
        answer = await self._order(field(GET_BLOCK_TEMPLATE_REQUEST, field(1, PAY_ADDRESS.encode())))
        block = fields(fields(answer)[GET_BLOCK_TEMPLATE_RESPONSE])[3]
        answer = await self._order(field(SUBMIT_BLOCK_REQUEST, field(2, block)))
        assert answer == field(SUBMIT_BLOCK_RESPONSE, b""), "it has an error, or a reason to refuse the block, in it"

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
        """What it has written since it was first started."""
        return "".join(log.read_text(errors="replace") for log in self.logs)

    def said(self, text: str) -> bool:
        return text in self.log()

    def warnings(self) -> list[str]:
        """Its warnings and errors."""
        return [line for line in self.log().splitlines() if "[WARN" in line or "[ERROR" in line]


@contextmanager
def starting(
    new_folder: Callable[[str], Path], *flags: str, network: str = "devnet", rpc: bool = False
) -> Iterator[Program]:
    """Run a kaspad of its own for the length of a block."""
    kaspad = Program(new_folder("kaspad"), *flags, network=network, rpc=rpc)
    kaspad.start()
    try:
        yield kaspad
    finally:
        kaspad.stop()

"""A scripted control port: it speaks as Tor 0.4.9 does (control-spec), over streams in memory."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream

from ziggurat.layers.testing import stream_pair
from ziggurat.node.tor import ControlCredentials, Controller, TorError
from ziggurat.node.tor.aiostem_controller import open_controller

SERVICE = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd"
DIRECTORIES = [f"${number:040X}~relay{number}" for number in range(1, 4)]
DESCRIPTORS = ["A" * 43, "B" * 43]
"""Blinded keys in base64, as Tor shows them."""

SERVER_KEY = b"Tor safe cookie authentication server-to-controller hash"
CLIENT_KEY = b"Tor safe cookie authentication controller-to-server hash"


@dataclass
class ControlPort:
    """A Tor that does what its attributes say.

    Attributes:
        methods: what PROTOCOLINFO offers.
        password: the password that it takes.
        cookie: the cookie that it knows.
        cookie_file: where it says that the cookie is.
        phase: the value of status/bootstrap-phase.
        listeners: the value of net/listeners/socks.
        socks_ports: the values of the setting SocksPort, as they stand in the reply.
        circuits: the lines of circuit-status.
        streams: the lines of stream-status.
        away: whether it cannot be reached.
        refuses: the reply to a command that begins with this word.
        silent: the commands that it does not answer.
        commands: what it was sent, over all connections.
        connections: how many there were.
    """

    methods: str = "NULL"
    password: str = "secret"
    cookie: bytes = b"c" * 32
    cookie_file: str = ""
    phase: str = 'NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done"'
    listeners: str = '"127.0.0.1:9050"'
    socks_ports: tuple[str, ...] = ()
    circuits: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    away: bool = False
    refuses: dict[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    far: ByteStream | None = None
    _hash: str = ""

    @asynccontextmanager
    async def open(self, credentials: ControlCredentials | None = None) -> AsyncGenerator[Controller, None]:
        """Open an authenticated connection."""
        if self.away:
            raise TorError("connection refused")
        near, far = stream_pair()
        self.connections += 1
        serving = asyncio.create_task(self.serve(far))
        try:
            async with open_controller(near, credentials or ControlCredentials()) as controller:
                yield controller
        finally:
            serving.cancel()
            await asyncio.wait([serving])

    async def event(self, text: str) -> None:
        """Send an event."""
        assert self.far is not None
        await self.far.send(f"650 {text}\r\n".encode("latin-1"))
        await anyio.wait_all_tasks_blocked()

    async def bootstrap(self, progress: int, tag: str, more: str = "") -> None:
        await self.event(f'STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS={progress} TAG={tag} SUMMARY="{tag}"{more}')

    async def upload(self, action: str, directory: int, descriptor: int = 0, more: str = "") -> None:
        last = f" {DESCRIPTORS[descriptor]}" if action == "UPLOAD" else ""
        await self.event(f"HS_DESC {action} {SERVICE} UNKNOWN {DIRECTORIES[directory]}{last}{more}")

    async def upload_all(self) -> None:
        """Upload both descriptors to a directory each."""
        for number in (0, 1):
            await self.upload("UPLOAD", number, number)
        for number in (0, 1):
            await self.upload("UPLOADED", number)

    async def drop(self) -> None:
        """Cut the connection."""
        assert self.far is not None
        await self.far.aclose()
        await anyio.wait_all_tasks_blocked()

    async def serve(self, stream: ByteStream) -> None:
        """Answer one connection, to its end."""
        self.far = stream
        lines = b""
        try:
            while True:
                lines += await stream.receive()
                while b"\r\n" in lines:
                    line, _, lines = lines.partition(b"\r\n")
                    reply = self._answer(line.decode())
                    if reply is None:
                        continue
                    await stream.send(f"{reply}\r\n".encode())
                    if reply.startswith(("514", "515")):
                        await stream.aclose()
        except (EndOfStream, BrokenResourceError, ClosedResourceError):
            pass
        finally:
            await anyio.aclose_forcefully(stream)

    def _answer(self, command: str) -> str | None:
        self.commands.append(command)
        word, _, rest = command.partition(" ")
        if word in self.silent:
            return None
        for refused in (word, command):
            if refused in self.refuses:
                return self.refuses[refused]
        if word == "PROTOCOLINFO":
            file = f' COOKIEFILE="{self.cookie_file}"' if self.cookie_file else ""
            auth = f"250-AUTH METHODS={self.methods}{file}"
            return f'250-PROTOCOLINFO 1\r\n{auth}\r\n250-VERSION Tor="0.4.9.11"\r\n250 OK'
        if word == "AUTHCHALLENGE":
            nonce, own = bytes.fromhex(rest.split()[1]), b"n" * 32
            proof = hmac.new(SERVER_KEY, self.cookie + nonce + own, hashlib.sha256).hexdigest()
            self._hash = hmac.new(CLIENT_KEY, self.cookie + nonce + own, hashlib.sha256).hexdigest()
            return f"250 AUTHCHALLENGE SERVERHASH={proof.upper()} SERVERNONCE={own.hex().upper()}"
        if word == "AUTHENTICATE":
            return self._authenticate(rest)
        if command == "GETINFO status/bootstrap-phase":
            return f"250-status/bootstrap-phase={self.phase}\r\n250 OK"
        if command == "GETINFO net/listeners/socks":
            return f"250-net/listeners/socks={self.listeners}\r\n250 OK"
        if command == "GETINFO version":
            return "250-version=0.4.9.11\r\n250 OK"
        if command == "GETCONF SocksPort":
            lines = [f"SocksPort={each}" for each in self.socks_ports] or ["SocksPort"]
            return "\r\n".join([*(f"250-{each}" for each in lines[:-1]), f"250 {lines[-1]}"])
        for key, lines in (("circuit-status", self.circuits), ("stream-status", self.streams)):
            if command == f"GETINFO {key}":
                return "\r\n".join([f"250+{key}=", *lines, ".", "250 OK"]) if lines else f"250-{key}=\r\n250 OK"
        if word == "ADD_ONION":
            return f"250-ServiceID={SERVICE}\r\n250 OK"
        return "250 OK" if word == "SETEVENTS" else f'510 Unrecognized command "{word}"'

    def _authenticate(self, token: str) -> str:
        quoted = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', token)
        known = {
            "NULL": token == "",
            "HASHEDPASSWORD": self.password in (quoted and quoted[1], _unhex(token)),
            "SAFECOOKIE": self._hash != "" and token.lower() == self._hash,
        }
        good = any(known[method] for method in self.methods.split(",") if method in known)
        return "250 OK" if good else "515 Authentication failed"


def _unhex(text: str) -> str | None:
    try:
        return bytes.fromhex(text).decode()
    except ValueError:
        return None

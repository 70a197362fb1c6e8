"""Stand-ins for the servers and proxies in the documentation's examples, all on loopback.

The examples run as printed, each in its own process. There `CHILD` patches Python's socket module: it knows a few names
and addresses, and maps them to the ports of the stand-ins. Nothing else can be looked up or reached, so no example ever
touches a network.
"""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import h11
import trustme
from anyio import EndOfStream
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener
from google.protobuf.wrappers_pb2 import StringValue
from grpclib.const import Cardinality, Handler
from grpclib.health.service import Health
from grpclib.server import Server, Stream
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from tests.layers.clients.servers import Web, serve
from ziggurat.layers.testing import HttpReply, ScriptedProxy, Socks5Server, socks5_messages
from ziggurat.layers.testing.faults import FaultStream
from ziggurat.layers.testing.loopback import serve_loopback
from ziggurat.layers.testing.socks5_server import relay
from ziggurat.services import Uri

NAMES = {"proxy.corp": "192.0.2.10", "api.example": "192.0.2.80"}
"""Addresses reserved for documentation (RFC 5737)."""

ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"
"""The only onion service of the stand-in for Tor."""

GIVEN = """
from google.protobuf.wrappers_pb2 import StringValue
from grpclib.client import UnaryUnaryMethod

class GreeterStub:
    def __init__(self, channel):
        self.SayHello = UnaryUnaryMethod(channel, "/greeter.Greeter/SayHello", StringValue, StringValue)

request = StringValue(value="ziggurat")
"""
"""What README.md assumes: the reader's generated stub, and a request."""

CHILD = """
import asyncio, errno, json, socket, sys

world = json.load(sys.stdin)
lookup, connect = socket.getaddrinfo, socket.socket.connect

def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    name = host.decode() if isinstance(host, bytes) else host
    address = world["names"].get(name, name)
    try:
        return lookup(address, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

def connect_to_stand_in(self, address):
    if self.family != socket.AF_INET:
        return connect(self, address)
    host, port = address
    if f"{host}:{port}" in world["ports"]:
        return connect(self, ("127.0.0.1", world["ports"][f"{host}:{port}"]))
    if host == "127.0.0.1":
        return connect(self, address)
    number = errno.ECONNREFUSED if host in world["names"].values() else errno.ENETUNREACH
    raise OSError(number, "no stand-in there")

socket.getaddrinfo, socket.socket.connect = getaddrinfo, connect_to_stand_in
names = {"__name__": "__main__"}
exec(world["given"], names)
for source in world["blocks"]:
    # Line numbers and file name as on the page, for tracebacks.
    before = set(names)
    exec(compile(chr(10) * (source["line"] - 1) + source["text"], world["page"], "exec"), names)
    if "main" in set(names) - before and ".run(" not in source["text"]:
        asyncio.run(names["main"]())
    for stream in (sys.stdout, sys.stderr):
        print(world["separator"], file=stream, flush=True)
"""


class Greeter:
    """The service for README.md's stub."""

    async def say_hello(self, stream: Stream[StringValue, StringValue]) -> None:
        request = await stream.recv_message()
        assert request is not None
        await stream.send_message(StringValue(value=f"hello, {request.value}"))

    def __mapping__(self) -> dict[str, Handler]:
        return {"/greeter.Greeter/SayHello": Handler(self.say_hello, Cardinality.UNARY_UNARY, StringValue, StringValue)}


@asynccontextmanager
async def grpc_server(context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run a gRPC server on loopback; yields its port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = Server([Health(), Greeter()])
    await server.start(sock=listener, ssl=context)
    try:
        yield listener.getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


class OneEnd(FaultStream):
    """A stream without half-close, as TLS has none: the end of one direction closes it."""

    async def send_eof(self) -> None:
        await self.aclose()


@asynccontextmanager
async def tls_proxy(proxy: Socks5Server | Squid, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Run the same proxy behind TLS; yields its port."""

    async def handle(client: ByteStream) -> None:
        await proxy.handle(OneEnd(client))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port: int = listener.extra(SocketAttribute.local_port)
    async with TLSListener(listener, context, standard_compatible=False) as secured, anyio.create_task_group() as tasks:
        tasks.start_soon(secured.serve, handle)
        yield port
        tasks.cancel_scope.cancel()


class Squid:
    """An HTTP proxy that answers as squid: it wants a password, by Digest or Basic, and connects to port 443 only."""

    REALM, NONCE = "corp", "9f3a51"

    def __init__(self, ports: dict[str, int], users: dict[str, str]) -> None:
        self._ports = ports
        self._users = users

    async def handle(self, client: ByteStream) -> None:
        """Serve one client until it hangs up."""
        try:
            while (target := await self._serve(client)) is None:
                pass
            async with await anyio.connect_tcp("127.0.0.1", target) as stream:
                await client.send(HttpReply().encode())
                await relay(client, stream)
        except EndOfStream:
            pass

    async def _serve(self, client: ByteStream) -> int | None:
        """Answer one request; return the port behind the tunnel, if it opens one."""
        connection = h11.Connection(h11.SERVER)
        while not isinstance(event := connection.next_event(), h11.Request):
            connection.receive_data(await client.receive())
        target = event.target.decode()
        reply: HttpReply | None = None
        if not self._knows(dict(event.headers).get(b"proxy-authorization", b"").decode(), target):
            challenges = [
                f'Digest realm="{self.REALM}", nonce="{self.NONCE}", qop="auth"',
                f'Basic realm="{self.REALM}"',
            ]
            fields = [("X-Squid-Error", "ERR_CACHE_ACCESS_DENIED 0"), *(("Proxy-Authenticate", c) for c in challenges)]
            reply = HttpReply(407, "Proxy Authentication Required", fields, b"<title>ERROR: Access denied</title>")
        elif not target.endswith(":443"):
            reply = HttpReply(403, "Forbidden", [("X-Squid-Error", "ERR_ACCESS_DENIED 0")])
        elif target not in self._ports:
            reply = HttpReply(503, "Service Unavailable", [("X-Squid-Error", "ERR_DNS_FAIL 0")])
        if reply is None:
            return self._ports[target]
        await client.send(reply.encode())
        return None

    def _knows(self, authorization: str, target: str) -> bool:
        scheme, _, value = authorization.partition(" ")
        if scheme == "Basic":
            user, _, password = base64.b64decode(value).decode().partition(":")
            return self._users.get(user) == password
        parts = dict(re.findall(r'(\w+)="?([^",]*)"?', value))
        if scheme != "Digest" or parts["username"] not in self._users:
            return False
        first = f"{parts['username']}:{self.REALM}:{self._users[parts['username']]}"
        middle = f"{self.NONCE}:{parts['nc']}:{parts['cnonce']}:auth"
        hashes = [hashlib.md5(text.encode()).hexdigest() for text in (first, f"CONNECT:{target}")]
        return parts["response"] == hashlib.md5(f"{hashes[0]}:{middle}:{hashes[1]}".encode()).hexdigest()


class Tor:
    """Accepts any credentials, knows one onion service, and sends Tor's error codes for all others."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports

    async def handle(self, client: ByteStream) -> None:
        """Serve one client until it hangs up."""
        try:
            await self._serve(client)
        except EndOfStream:
            pass

    async def _serve(self, client: ByteStream) -> None:
        methods = await socks5_messages.read_methods(client)
        await client.send(bytes([5, 2 if 2 in methods else 0]))
        if 2 in methods:
            await socks5_messages.read_credentials(client)
            await client.send(b"\x01\x00")
        request = await socks5_messages.read_request(client)
        if (port := self._ports.get(f"{request.host}:{request.port}")) is None:
            await client.send(socks5_messages.reply(0xF0 if request.host.endswith(".onion") else 0x04))
            return
        async with await anyio.connect_tcp("127.0.0.1", port) as target:
            await client.send(socks5_messages.reply(0))
            await relay(client, target)


async def feed(connection: ServerConnection) -> None:
    """Send three messages on a websocket."""
    for number in (1, 2, 3):
        await connection.send(f"news {number}")
    await connection.wait_closed()


@asynccontextmanager
async def web_servers(authority: trustme.CA) -> AsyncIterator[dict[str, int]]:
    """Run servers for HTTP, HTTPS and websockets, which the proxy alone knows by name; yields the ports by target."""
    contexts: dict[str, ssl.SSLContext] = {}
    for name in ("www.example", "feed.example"):
        contexts[name] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(contexts[name])
    contexts["www.example"].set_alpn_protocols(["h2", "http/1.1"])
    async with (
        serve(Web().handle) as plain,
        serve(Web().handle, contexts["www.example"]) as secured,
        serve_websockets(feed, "127.0.0.1", 0, ssl=contexts["feed.example"]) as websockets,
    ):
        port = next(iter(websockets.sockets)).getsockname()[1]
        yield {"www.example:80": plain, "www.example:443": secured, "feed.example:443": port}


@asynccontextmanager
async def stand_ins(trust: Path) -> AsyncIterator[dict[str, int]]:
    """Start everything; yields the ports by address.

    The authority's certificate is written to ``trust``, a client certificate with its key to ``client.pem`` beside it.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(trust))
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(trust.with_name("client.pem")))
    contexts: list[ssl.SSLContext] = []
    for name in NAMES:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(context)
        contexts.append(context)
    proxy_context, api_context = contexts
    api_context.set_alpn_protocols(["h2"])
    async with AsyncExitStack() as running:
        enter = running.enter_async_context
        plain, secured = await enter(grpc_server()), await enter(grpc_server(api_context))
        targets = {"api.example:80": plain, "api.example:443": secured, f"{ONION}:80": plain}
        targets |= await enter(web_servers(authority))

        async def reach(uri: Uri) -> ByteStream:
            """Connect to a target as the corporate proxy does: it knows a few hosts and forbids all others."""
            if uri.authority not in targets:
                raise PermissionError(13, "forbidden")
            return await anyio.connect_tcp("127.0.0.1", targets[uri.authority])

        corporate = Socks5Server({"u": "p", "alice": "s3cret"}, connector=reach)
        proxy = await enter(corporate.serve())
        squid = Squid(targets, {"u": "p", "alice": "s3cret"})
        http = await enter(ScriptedProxy(method=b"HTTP/1.1 400 Bad Request\r\n\r\n").serve())
        silent = await enter(ScriptedProxy(cut=0, cut_with="stall").serve())
        yield {
            "192.0.2.10:1080": proxy.port,
            "192.0.2.10:1443": await enter(tls_proxy(corporate, proxy_context)),
            "192.0.2.10:3128": await enter(serve_loopback(squid.handle)),
            "192.0.2.10:3129": await enter(tls_proxy(squid, proxy_context)),
            "192.0.2.10:8080": http.port,
            "192.0.2.10:1081": silent.port,
            "192.0.2.80:80": plain,
            "192.0.2.80:443": secured,
            "127.0.0.1:9050": await enter(serve_loopback(Tor(targets).handle)),
        }

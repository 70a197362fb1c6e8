"""One connection of a `KaspaPeer`."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVarTuple

import anyio
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ziggurat.node.address import NetAddress
from ziggurat.node.wire import (
    ConversionError,
    KaspadMessage,
    MessageStream,
    StreamLost,
    block_to_wire,
    inv_relay_block_to_wire,
    request_relay_blocks_from_wire,
)
from ziggurat.node.wire import p2p_pb2 as p2p

if TYPE_CHECKING:
    from ziggurat.node.testing.kaspa_peer import KaspaPeer

__all__ = ["KaspaSession"]

VERSION_TIMEOUT, READY_TIMEOUT, REPLY_TIMEOUT = 4.0, 8.0, 120.0
"""Seconds, as in kaspad in both roles."""

QUEUE_SIZE, INVENTORY_QUEUE_SIZE = 256, 4096
MAX_ADDRESSES_RECEIVED, MAX_ADDRESSES_SENT = 2500, 1000
INVENTORIES = ("invRelayBlock", "invTransactions")
IGNORED = (
    *("requestTransactions", "requestIBDBlocks", "requestNextPruningPointUtxoSetChunk"),
    *("requestPruningPointAndItsAnticone", "requestNextHeaders", "requestPruningPointUTXOSet", "requestHeaders"),
    *("requestBlockLocator", "requestPruningPointProof", "requestIBDChainBlockLocator", "requestAntipast"),
    *("requestNextPruningPointAndItsAnticoneBlocks", "requestBlockBodies", "requestPruningPointSmtState"),
    *("requestNextPruningPointSmtChunk", "transaction", "transactionNotFound"),
)
"""Message types that kaspad accepts after the handshake and that this peer ignores."""


Args = TypeVarTuple("Args")


class Rejected(Exception):
    """An error that sends a Reject with this text and closes the connection."""


class KaspaSession:
    """One connection.

    Attributes:
        inbound: whether the node dialled.
        received: the names of the payloads received, in order.
        version: the node's Version; ``None`` until it is received.
        ready: set when the handshake is done.
        closed: set when the connection is closed.
        reason: why the connection was closed, in kaspad's words where it has any.
        rejected: the text of the node's Reject; ``None`` without one.
        told: the addresses received from the node; ``None`` until then.
        pongs: the number of pings that the node has answered.
    """

    def __init__(
        self,
        peer: KaspaPeer,
        stream: MessageStream,
        host: str,
        *,
        inbound: bool,
        handshake_over: Callable[[], None] | None = None,
    ) -> None:
        self.inbound = inbound
        self.received: list[str] = []
        self.version: p2p.VersionMessage | None = None
        self.ready = anyio.Event()
        self.closed = anyio.Event()
        self.reason: str | None = None
        self.rejected: str | None = None
        self.told: list[p2p.NetAddress] | None = None
        self.pongs = 0
        self._peer = peer
        self._stream = stream
        self._host = host
        self._handshake_over = handshake_over
        self._ending = anyio.Event()
        self._lock = anyio.Lock()
        self._senders: dict[str, MemoryObjectSendStream[KaspadMessage]] = {}
        self._inboxes: list[MemoryObjectReceiveStream[KaspadMessage]] = []

    async def send(self, message: KaspadMessage) -> None:
        """Send any message."""
        async with self._lock:
            await self._stream.send(message)

    async def announce(self, hash: bytes) -> None:
        """Announce a block."""
        await self.send(KaspadMessage(invRelayBlock=inv_relay_block_to_wire(hash)))

    def close(self, reason: str) -> None:
        """Close the connection without a Reject."""
        self.reason = self.reason or reason
        self._ending.set()

    async def run(self) -> None:
        """Run the handshake, then the flows, until the connection closes."""
        self._stream.lift_limits()  # kaspad makes no difference
        try:
            async with anyio.create_task_group() as tasks:
                inboxes = {name: self._subscribe(name) for name in ("version", "verack", "ready")}
                tasks.start_soon(self._read)
                tasks.start_soon(self._reject_on_error, self._talk, inboxes)
                await self._ending.wait()
                tasks.cancel_scope.cancel()
        finally:
            if self._handshake_over is not None:
                self._handshake_over()
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            key = (self.version.id if self.version else b"", self._host)
            if self._peer.known.get(key) is self:
                del self._peer.known[key]
            for sender in self._senders.values():
                sender.close()
            for inbox in self._inboxes:
                inbox.close()
            self.closed.set()

    # -- routes

    def _subscribe(self, name: str, size: float = QUEUE_SIZE) -> MemoryObjectReceiveStream[KaspadMessage]:
        sender, receiver = anyio.create_memory_object_stream[KaspadMessage](size)
        self._senders[name] = sender
        self._inboxes.append(receiver)
        return receiver

    async def _read(self) -> None:
        try:
            while (message := await self._stream.receive()) is not None:
                name = message.WhichOneof("payload")
                self.received.append(name or "")
                if name == "reject":
                    self.rejected = message.reject.reason
                    self.close(f"got reject message: {self.rejected}")
                    return
                if name is None or message.response_id or name not in self._senders:
                    self.close(f"route error: no flow has been registered for message type {name}")
                    return
                try:
                    self._senders[name].send_nowait(message)
                except anyio.WouldBlock:
                    if name not in INVENTORIES:
                        self.close(f"route error: the queue of {name} is full")
                        return
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    self.close(f"route error: the route of {name} is closed")
                    return
                await checkpoint()
            self.close("incoming stream ended")
        except StreamLost as error:
            self.close(f"network error: {error}")

    async def _reject_on_error(self, work: Callable[[*Args], Awaitable[None]], *args: *Args) -> None:
        try:
            await work(*args)
        except (Rejected, ConversionError) as error:
            if self.reason is not None:
                return  # a Reject has been sent
            self.reason = str(error)
            try:
                await self.send(KaspadMessage(reject=p2p.RejectMessage(reason=str(error))))
            except StreamLost:
                pass
            self.close(str(error))
        except StreamLost as error:
            self.close(f"network error: {error}")

    async def _receive(self, inbox: MemoryObjectReceiveStream[KaspadMessage], seconds: float) -> KaspadMessage:
        try:
            with anyio.fail_after(seconds):
                return await inbox.receive()
        except TimeoutError:
            raise Rejected(f"timeout expired after {seconds:g}s") from None

    # -- handshake and flows

    async def _talk(self, inboxes: dict[str, MemoryObjectReceiveStream[KaspadMessage]]) -> None:
        if self.inbound and self._host in self._peer.banned:
            raise Rejected("peer is banned")  # before its own Version
        await self.send(KaspadMessage(version=self._peer.version()))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._reject_on_error, self._receive_version, inboxes["version"])
            tasks.start_soon(self._reject_on_error, self._receive_verack, inboxes["verack"])
        if self._ending.is_set():
            return
        self._check_version()
        flows = self._register_flows()
        await self.send(KaspadMessage(ready=p2p.ReadyMessage()))
        await self._receive(inboxes["ready"], READY_TIMEOUT)
        for inbox in inboxes.values():
            inbox.close()  # another handshake message is a route error
        assert self.version is not None
        self._peer.known[self.version.id, self._host] = self
        if self.version.HasField("address"):
            self._learn(self.version.address)
        if self._handshake_over is not None:
            self._handshake_over()
        self.ready.set()
        if self._peer.blocks:
            await self.announce(next(reversed(self._peer.blocks)))  # `KaspaPeer.announce` sends later ones
        async with anyio.create_task_group() as tasks:
            for flow in flows:
                tasks.start_soon(self._reject_on_error, flow)

    def _learn(self, entry: p2p.NetAddress) -> None:
        self._peer.learn(NetAddress(ip_address(entry.ip), entry.port))

    async def _receive_version(self, inbox: MemoryObjectReceiveStream[KaspadMessage]) -> None:
        self.version = (await self._receive(inbox, VERSION_TIMEOUT)).version
        await self.send(KaspadMessage(verack=p2p.VerackMessage()))

    async def _receive_verack(self, inbox: MemoryObjectReceiveStream[KaspadMessage]) -> None:
        await self._receive(inbox, VERSION_TIMEOUT)

    def _check_version(self) -> None:
        theirs, ours = self.version, self._peer
        if theirs is None:
            raise Rejected(f"timeout expired after {VERSION_TIMEOUT:g}s")
        if len(theirs.id) != 16:
            raise Rejected(f"invalid length: expected 16 bytes, found {len(theirs.id)}")
        if (theirs.id, self._host) in ours.known:
            raise Rejected("DUPLICATE_CONNECTION")
        if theirs.id == ours.id:
            raise Rejected("LOOPBACK_CONNECTION")
        if theirs.network != ours.network:
            raise Rejected(f"Network mismatch - local: {ours.network}, remote: {theirs.network}")
        if ours.refused_user_agent is not None and re.search(ours.refused_user_agent, theirs.userAgent):
            raise Rejected(f"peer user agent rejected: {theirs.userAgent}")
        if theirs.protocolVersion < 10:
            raise Rejected(f"P2P protocol version mismatch - local: 11, remote: {theirs.protocolVersion}")

    def _register_flows(self) -> list[Callable[[], Awaitable[None]]]:
        pings, asked, told = (self._subscribe(name) for name in ("ping", "requestAddresses", "addresses"))
        pongs, wanted = self._subscribe("pong"), self._subscribe("requestRelayBlocks")
        for name in INVENTORIES:
            self._subscribe(name, INVENTORY_QUEUE_SIZE)
        for name in IGNORED:
            self._subscribe(name, math.inf)

        async def answer_pings() -> None:
            async for message in pings:
                await self.send(KaspadMessage(pong=p2p.PongMessage(nonce=message.ping.nonce)))

        async def answer_addresses() -> None:
            entries = [p2p.NetAddress(ip=known.ip.packed, port=known.port) for known in self._peer.addresses]
            async for _ in asked:
                await self.send(KaspadMessage(addresses=p2p.AddressesMessage(addressList=entries[:MAX_ADDRESSES_SENT])))

        async def ask_addresses() -> None:
            await self.send(KaspadMessage(requestAddresses=p2p.RequestAddressesMessage()))
            answer = (await self._receive(told, REPLY_TIMEOUT)).addresses
            told.close()  # another reply is a route error
            if len(answer.addressList) > MAX_ADDRESSES_RECEIVED:
                raise Rejected(f"address count {len(answer.addressList)} exceeded {MAX_ADDRESSES_RECEIVED}")
            for entry in answer.addressList:
                if len(entry.ip) not in (4, 16):
                    raise Rejected(f"IP has illegal length {len(entry.ip)}")
            self.told = list(answer.addressList)
            for entry in answer.addressList:
                self._learn(entry)

        async def ping() -> None:
            while True:
                await anyio.sleep(self._peer.ping_interval)
                nonce = secrets.randbits(64)
                await self.send(KaspadMessage(ping=p2p.PingMessage(nonce=nonce)))
                if (await self._receive(pongs, REPLY_TIMEOUT)).pong.nonce != nonce:
                    raise Rejected("nonce mismatch between ping and pong")
                self.pongs += 1

        return [answer_pings, answer_addresses, ask_addresses, partial(self._relay_blocks, wanted), ping]

    async def _relay_blocks(self, wanted: MemoryObjectReceiveStream[KaspadMessage]) -> None:
        blocks = self._peer.blocks
        async for message in wanted:
            for hash in request_relay_blocks_from_wire(message.requestRelayBlocks):
                if hash not in blocks:
                    raise Rejected(f"cannot find full block {hash.hex()}")
                await self.send(KaspadMessage(block=block_to_wire(blocks[hash]), response_id=message.request_id))

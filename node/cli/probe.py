"""Dial one peer, shake hands with it, and leave."""

from __future__ import annotations

from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.config.settings import Settings
from ziggurat.node.connection_handler import ConnectionHandler, proxy_layer
from ziggurat.node.handshake.identity import NodeIdentity, user_agent
from ziggurat.node.outbound.failure import is_proxy_failure
from ziggurat.node.peer.info import PeerAddress, PeerInfo
from ziggurat.services import ConnectError, Connector, Ledger, Limit, Uri, dial

__all__ = ["ProbeResult", "probe"]


@dataclass(slots=True)
class ProbeResult:
    """What came of it.

    Attributes:
        target: where the dial went.
        via: the proxy's address, if there is one.
        ledger: of the dial.
        peer: who answered; ``None`` when nobody did.
        error: what failed; ``None`` when nothing did.
    """

    target: Uri
    via: str | None
    ledger: Ledger | None = None
    peer: PeerInfo | None = None
    error: ConnectError | None = None

    @property
    def is_the_proxys_fault(self) -> bool:
        """Whether it failed before the proxy had tried to reach the target."""
        return self.error is not None and is_proxy_failure(self.error, proxied=self.via is not None)


class _Witness:
    """Keeps the ledger of the dial that passes: of one that is given up from outside, nobody else has it."""

    def __init__(self, leaf: Connector) -> None:
        self.ledger: Ledger | None = None
        self._leaf = leaf

    async def __call__(self, uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            self.ledger = current.ledger
            return await self._leaf(uri)

    def __repr__(self) -> str:
        return repr(self._leaf)


async def probe(address: PeerAddress, settings: Settings, timeout: float | None = None) -> ProbeResult:
    """Dial a peer as the node would, and leave as soon as it is connected.

    Args:
        address: of the peer.
        settings: the proxy and the network.
        timeout: seconds for all of it, besides the limits that each phase has; ``None`` for no more than those.

    Returns:
        What came of it; a dial's errors are in there, and not raised.
    """
    proxy = settings.proxy
    handler = ConnectionHandler(None if proxy is None else proxy_layer(proxy.uri, proxy.credentials))
    witness = _Witness(handler.leaf)
    handler.leaf = witness
    result = ProbeResult(address.uri(), handler.via)
    identity = NodeIdentity(settings.network.name, user_agent(settings.uacomment))
    async with Adaptor(handler, identity) as adaptor:
        try:
            with dial(result.target) as current:
                result.ledger = current.ledger
                if timeout is None:
                    result.peer = await adaptor.connect_peer(address)
                else:
                    with Limit(timeout, "timeout"):
                        result.peer = await adaptor.connect_peer(address)
        except ConnectError as error:
            _take(result, error, witness.ledger)
    return result


def _take(result: ProbeResult, error: ConnectError, seen: Ledger | None) -> None:
    result.error = error
    ledger = error.ledger or result.ledger
    if (ledger is None or not ledger.phases) and seen is not None:
        ledger = seen
        ended = next((entry for entry in reversed(seen.phases) if entry.outcome != "ok"), None)
        if error.phase is None and ended is not None:
            error.phase, error.via, error.ledger = ended.name, ended.via, seen
    result.ledger = ledger

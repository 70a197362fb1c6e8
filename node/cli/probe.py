"""Dial one peer, complete the handshake and disconnect."""

from __future__ import annotations

from dataclasses import dataclass

from ziggurat.node.adaptor import Adaptor
from ziggurat.node.address import PeerAddress
from ziggurat.node.config import Settings
from ziggurat.node.connection_handler import ConnectionHandler
from ziggurat.node.handshake import NodeIdentity, user_agent
from ziggurat.node.outbound import is_proxy_failure
from ziggurat.node.peer import PeerInfo
from ziggurat.services import ConnectError, Ledger, Limit, Uri, dial

__all__ = ["ProbeResult", "probe"]


@dataclass(slots=True)
class ProbeResult:
    """The outcome of a probe.

    Attributes:
        target: the target of the dial.
        via: the proxy's address; ``None`` for a direct dial.
        ledger: the record of the dial and the handshake; ``None`` before the dial began.
        peer: the peer that answered; ``None`` after a failure.
        error: the error that ended the dial; ``None`` after a success.
    """

    target: Uri
    via: str | None
    ledger: Ledger | None = None
    peer: PeerInfo | None = None
    error: ConnectError | None = None

    @property
    def proxy_failed(self) -> bool:
        """Whether the dial failed before the proxy tried to reach the target."""
        return self.error is not None and is_proxy_failure(self.error, proxied=self.via is not None)


async def probe(address: PeerAddress, settings: Settings, timeout: float | None = None) -> ProbeResult:
    """Dial a peer as the node would, and disconnect after the handshake.

    Args:
        address: the address of the peer.
        settings: the proxy and the network.
        timeout: seconds for dial and handshake together, besides the limits of each phase; ``None`` for no such limit.

    Returns:
        The outcome. A failed dial is returned as ``error``, not raised.
    """
    handler = ConnectionHandler(settings.ways)
    identity = NodeIdentity(settings.network.name, user_agent(settings.uacomment))
    result = ProbeResult(address.uri(), handler.via(address))
    async with Adaptor(handler, identity) as adaptor:
        try:
            with dial(result.target) as current, Limit(timeout, "timeout"):
                result.ledger = current.ledger
                result.peer = await adaptor.connect_peer(address)
        except ConnectError as error:
            result.error = error
    return result

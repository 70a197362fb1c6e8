"""The tunnel of an outbound peer: what the dial through a proxy tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ziggurat.layers import Isolated, Socks5Layer
from ziggurat.services.ledger import Ledger

__all__ = ["Isolation", "Tunnel", "isolation_of"]

Isolation: TypeAlias = Literal["dial", "key", "none"]


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel through a proxy.

    Attributes:
        isolation: what the proxy was given to keep it apart from others, which Tor does by a circuit: credentials of
            this ``dial`` alone, or of all with an equal ``key``; or ``none``: no credentials, those of all dials, or
            a proxy that took none.
        source_port: the port of our end of the connection to the proxy, by which Tor's control port knows the tunnel;
            ``None`` where there is none, e.g. on a unix socket.
    """

    isolation: Isolation
    source_port: int | None = None


def isolation_of(proxy: object, ledger: Ledger) -> Isolation:
    """Return how a dial was isolated.

    Args:
        proxy: the layer that made the tunnel.
        ledger: the dial's record. Credentials that the proxy did not ask for were not sent, and isolate nothing.
    """
    auth = proxy.auth if isinstance(proxy, Socks5Layer) else None
    sent = any(each.name == "proxy.auth" and not each.discarded for each in ledger.phases)
    if not isinstance(auth, Isolated) or not sent:
        return "none"
    return "dial" if auth.key is None else "key"

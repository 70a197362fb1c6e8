"""Settings that were given and have no effect beside others, or another effect than their user may expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager import is_publicly_routable
from ziggurat.node.config.settings import Settings
from ziggurat.node.inbound import UserAgentPattern, ban_text

__all__ = ["ineffective_settings"]

ABOUT_INBOUND_PEERS = ("listen", "maxinpeersperaddr", "inbound-proxy")

CONNECT_REPLACES = ("outpeers", "maxinpeers", "nodnsseed", *ABOUT_INBOUND_PEERS)


def ineffective_settings(settings: Settings, given: Mapping[str, str]) -> list[str]:
    """Return one line for each such setting.

    Args:
        settings: the settings.
        given: the source of each setting that was given, by option name.
    """
    reasons: list[tuple[str, str]] = []
    if settings.connect:
        only = "has no effect beside connect: the node dials only those peers, and does not listen"
        reasons += [(name, only) for name in CONNECT_REPLACES]
    elif not settings.maxinpeers:
        reasons += [(name, "has no effect: with maxinpeers 0 the node does not listen") for name in ABOUT_INBOUND_PEERS]
    elif settings.listen_address is None:
        silent = "has no effect: with a proxy the node does not listen, unless listen says where"
        reasons += [(name, silent) for name in ABOUT_INBOUND_PEERS]
    elif settings.listen is not None and settings.proxy is not None and not settings.inbound_proxy:
        ip = settings.listen.ip
        if ip.is_unspecified or is_publicly_routable(ip):
            warning = (
                "lets peers connect past the proxy, to this machine's own address; an onion service needs 127.0.0.1"
            )
            reasons.append(("listen", warning))
    reasons += [("ban", reason) for reason in _bans_without_effect(settings)]
    if settings.nologfiles:
        reasons.append(("logdir", "has no effect beside nologfiles"))
    if "testnet" not in settings.network.name:
        reasons.append(("netsuffix", "has no effect without testnet"))
    return [f"{name} ({given[name]}) {reason}" for name, reason in reasons if name in given]


def _bans_without_effect(settings: Settings) -> Iterator[str]:
    peers = {peer.ip for peer in settings.permanent_peers if isinstance(peer, NetAddress)}
    for what in settings.ban:
        if isinstance(what, UserAgentPattern):
            continue
        if what.prefixlen == what.max_prefixlen and what.network_address in peers:
            yield f"of {ban_text(what)} has no effect: connect or addpeer names that peer"
        if any(what.overlaps(proxy) for proxy in settings.inbound_proxies):
            yield f"of {ban_text(what)} does not affect inbound peers behind a proxy: they have no address of their own"

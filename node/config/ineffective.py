"""Settings that were given and have no effect beside others, or another effect than their user may expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager import is_publicly_routable
from ziggurat.node.config.settings import Settings, accepts_family
from ziggurat.node.config.ways import SOCKS5_SCHEMES
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
    else:
        reasons += _about_listeners(settings)
    if not (settings.outbound_target or settings.permanent_peers or settings.inbound_limit):
        reasons.append(("outpeers", "leaves the node without peers: it neither dials nor listens"))
    reasons += _about_ways(settings)
    if settings.proxy is not None and settings.proxy.uri.scheme == "socks4":
        reasons.append(
            ("proxy", "reaches IPv4 addresses only, no name and so no DNS seeder: SOCKS4 takes none; socks4a does")
        )
    reasons += [("ban", reason) for reason in _bans_without_effect(settings)]
    if not settings.listen_onion:
        reasons += [(name, "has no effect without listen-onion") for name in ("tor-onion-key", "onion-bind")]
    if settings.nologfiles:
        reasons.append(("logdir", "has no effect beside nologfiles"))
    if "testnet" not in settings.network.name:
        reasons.append(("netsuffix", "has no effect without testnet"))
    return [f"{name} ({given[name]}) {reason}" for name, reason in reasons if name in given]


def _is_public(listener: NetAddress) -> bool:
    return listener.ip.is_unspecified or is_publicly_routable(listener.ip)


def _about_listeners(settings: Settings) -> list[tuple[str, str]]:
    listening, external, reasons = settings.listen_addresses, settings.externalip, list[tuple[str, str]]()
    if not listening and not settings.listen_onion:
        silent = "has no effect: with a proxy the node listens only if listen is given"
        reasons += [(name, silent) for name in ("maxinpeers", *ABOUT_INBOUND_PEERS)]
    elif settings.ways.proxied and not settings.inbound_proxy and any(map(_is_public, listening)):
        warning = "lets peers connect past the proxy, to this machine's own address; an onion service needs "
        reasons.append(("listen", warning + "127.0.0.1"))
        if not settings.listen:
            reasons.append(("externalip", f"makes the node listen on {listening[0]}, which {warning}listen 127.0.0.1"))
    if external is not None and listening and not any(accepts_family(each, external.ip.version) for each in listening):
        other = 4 if external.ip.version == 6 else 6
        reasons.append(("externalip", f"is IPv{external.ip.version}, but the node listens on IPv{other} only"))
    return reasons


def _about_ways(settings: Settings) -> Iterator[tuple[str, str]]:
    ways = settings.ways
    if settings.listen_onion and not ways.knows_onions and not settings.asks_tor:
        yield "listen-onion", "publishes a service that no peer is told of: the node itself dials no onion services"
    if settings.connect:
        yield "onlynet", "has no effect beside connect: the node dials only those peers"
    if not ways.randomize and not any(proxy.uri.scheme in SOCKS5_SCHEMES for proxy in ways.proxies):
        yield "no-proxyrandomize", "has no effect: there is no SOCKS5 proxy"
    if settings.network.seeders and not settings.connect and not settings.nodnsseed and not ways.seeds:
        refusal = ways.of_name().refusal
        for name in ("onlynet", "tor-only") if refusal is None else ("onion", "proxy-net"):
            yield name, f"leaves out the DNS seeders: {refusal or 'they know no onion services'}"


def _bans_without_effect(settings: Settings) -> Iterator[str]:
    peers = {peer.ip for peer in settings.permanent_peers if isinstance(peer, NetAddress)}
    for what in settings.ban:
        if isinstance(what, UserAgentPattern):
            continue
        if what.prefixlen == what.max_prefixlen and what.network_address in peers:
            yield f"of {ban_text(what)} has no effect: connect or addpeer names that peer"
        if any(what.overlaps(proxy) for proxy in settings.inbound_proxies):
            yield f"of {ban_text(what)} does not affect inbound peers behind a proxy: they have no address of their own"

"""Settings that were given and have no effect beside others, or another effect than their user may expect."""

from __future__ import annotations

from collections.abc import Mapping

from ziggurat.node.address import NetAddress
from ziggurat.node.address_manager import is_publicly_routable
from ziggurat.node.config.settings import Settings, accepts_family

__all__ = ["ineffective_settings"]

CONNECT_REPLACES = ("listen", "outpeers", "maxinpeers", "nodnsseed")


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
        reasons.append(("listen", "has no effect: with maxinpeers 0 the node does not listen"))
    else:
        reasons += _about_listeners(settings)
    if not (settings.outbound_target or settings.permanent_peers or settings.listen_addresses):
        reasons.append(("outpeers", "leaves the node without peers: it neither dials nor listens"))
    if settings.nologfiles:
        reasons.append(("logdir", "has no effect beside nologfiles"))
    if "testnet" not in settings.network.name:
        reasons.append(("netsuffix", "has no effect without testnet"))
    return [f"{name} ({given[name]}) {reason}" for name, reason in reasons if name in given]


def _is_public(listener: NetAddress) -> bool:
    return listener.ip.is_unspecified or is_publicly_routable(listener.ip)


def _about_listeners(settings: Settings) -> list[tuple[str, str]]:
    listening, external, reasons = settings.listen_addresses, settings.externalip, list[tuple[str, str]]()
    if not listening:
        reasons.append(("maxinpeers", "has no effect: with a proxy the node listens only if listen is given"))
    elif settings.proxy is not None and any(map(_is_public, listening)):
        warning = "lets peers connect past the proxy, to this machine's own address; an onion service needs "
        reasons.append(("listen", warning + "127.0.0.1"))
        if not settings.listen:
            reasons.append(("externalip", f"makes the node listen on {listening[0]}, which {warning}listen 127.0.0.1"))
    if external is not None and listening and not any(accepts_family(each, external.ip.version) for each in listening):
        other = 4 if external.ip.version == 6 else 6
        reasons.append(("externalip", f"is IPv{external.ip.version}, but the node listens on IPv{other} only"))
    return reasons

"""Explain where a dial would go, without dialling or resolving anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ziggurat.layers import HttpConnectLayer, Layer, Socks4Layer, Socks5Layer, TlsLayer, UserPass
from ziggurat.layers.route import Decision
from ziggurat.layers.route.rule import host_classes
from ziggurat.services.host import is_loopback, is_private, literal
from ziggurat.services.onion import is_onion
from ziggurat.services.uri import Uri

__all__ = ["Explanation", "explain"]

ProxyLayer: TypeAlias = Socks5Layer | Socks4Layer | HttpConnectLayer

SSL_PORT = 443
"""The only port that squid's own configuration allows CONNECT to (its ``SSL_ports``)."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a dial would go.

    Attributes:
        target: the target.
        classes: its classes, as a rule knows them, sorted.
        decision: the way, and what decided.
        stack: the stack, outermost layer first.
        resolves: for each name that somebody has to resolve, the name and who does it.
        refusal: why nothing would be dialled, in one line; ``None`` if something would.
        problems: what would or may go wrong, a line each.
    """

    target: Uri
    classes: tuple[str, ...]
    decision: Decision
    stack: tuple[str, ...]
    resolves: tuple[tuple[str, str], ...]
    refusal: str | None
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether something would be dialled."""
        return self.refusal is None


def explain(target: Uri, decision: Decision, stack: Sequence[str], notes: Sequence[str] = ()) -> Explanation:
    """Return what `Decision` means for a target.

    Args:
        target: what would be dialled.
        decision: where it goes.
        stack: the stack in words, outermost first.
        notes: problems that are known already.
    """
    hops = list(_hops(decision.layers, target))
    refusal = decision.reason if decision.way == "refuse" else _refusal(hops) or _unresolvable(target, decision, hops)
    if refusal is not None and decision.way == "refuse" and decision.hint is not None:
        refusal = f"{refusal}; {decision.hint}"
    own = decision.connector is not None
    problems = [*notes, *(() if refusal is not None or own else _problems(target, hops))]
    resolves = () if refusal is not None or own else tuple(_resolves(target, hops))
    return Explanation(
        target, tuple(sorted(host_classes(target))), decision, tuple(stack), resolves, refusal, tuple(problems)
    )


Hop: TypeAlias = tuple[ProxyLayer, Uri, bool]
"""A proxy, what it is asked for, and whether TLS hides our words with it."""


def _hops(layers: Sequence[Layer], target: Uri) -> Iterator[Hop]:
    """Yield the proxies from the last to the first: the outermost layer is asked for the target."""
    asked = target
    for position, layer in enumerate(layers):
        if isinstance(layer, ProxyLayer):
            below = layers[position + 1] if position + 1 < len(layers) else None
            yield layer, asked, isinstance(below, TlsLayer)
            asked = layer.proxy


def _refusal(hops: Sequence[Hop]) -> str | None:
    """Return why a proxy's layer refuses what it is asked for, before anything is dialled."""
    for layer, asked, _ in hops:
        if asked.is_unix:
            return f"no proxy reaches a unix socket ({asked})"
        if isinstance(layer, Socks4Layer) and not layer.remote_dns:
            if not asked.is_literal:
                return f"plain SOCKS4 takes no name ({asked.host}); write socks4a://, which sends it to the proxy"
            if ":" in asked.host:
                return f"plain SOCKS4 takes no IPv6 address ({asked.host}); use a SOCKS5 or HTTP proxy"
        if "%" in asked.host:
            return f"a zone id means nothing to a proxy ({asked.host})"
    return None


def _unresolvable(target: Uri, decision: Decision, hops: Sequence[Hop]) -> str | None:
    """Return why the leaf refuses to look up the name that this machine has to resolve."""
    if decision.way not in ("direct", "proxy"):
        return None
    nearest = hops[-1][0].proxy if hops else target
    if not is_onion(nearest.host):
        return None
    return f"no DNS knows {nearest.host}, and none is asked (RFC 7686); a proxy of Tor's reaches it, socks5://127.0.0.1:9050"


def _resolves(target: Uri, hops: Sequence[Hop]) -> Iterator[tuple[str, str]]:
    for uri, nearer in zip(
        (target, *(layer.proxy for layer, _, _ in hops)), (*(layer.proxy for layer, _, _ in hops), None), strict=True
    ):
        if not uri.is_unix and not uri.is_literal:
            yield uri.host, "this machine" if nearer is None else f"the proxy {nearer.authority}"


def _problems(target: Uri, hops: Sequence[Hop]) -> Iterator[str]:
    if not hops:
        return
    classes, last = host_classes(target), hops[0][0]
    if "loopback" in classes:
        yield f"{target.host} is the proxy's own machine there, not this one"
    elif "private" in classes:
        yield f"{target.host} is in the proxy's network there, not in this machine's"
    if "onion" in classes and isinstance(last, HttpConnectLayer):
        yield "an onion service is reached only if the proxy passes it to Tor"
    for layer, asked, secured in hops:
        where = layer.proxy.authority
        if isinstance(layer, Socks4Layer) and ":" in asked.host:
            yield f"few SOCKS4 proxies take an IPv6 address ({asked.host}), which is sent to {where} as text"
        if isinstance(layer, HttpConnectLayer) and asked.port != SSL_PORT:
            yield f"{where} may refuse port {asked.port}: HTTP proxies such as squid allow {SSL_PORT} only by default"
        if _has_password(layer) and not secured and not _is_near(layer.proxy):
            yield f"the password for {where} is sent unencrypted"


def _has_password(layer: ProxyLayer) -> bool:
    return not isinstance(layer, Socks4Layer) and isinstance(layer.auth, UserPass)


def _is_near(proxy: Uri) -> bool:
    address = literal(proxy.host)
    return is_loopback(proxy) or (address is not None and is_private(address))

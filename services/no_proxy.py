"""Which targets need no proxy: the list in ``NO_PROXY``, for which no standard exists.

The rules here are curl's, and Go's where curl has none (``*`` among other items, ports, ``*.example.com``); the how-to
on the environment has a table of the differences. An item that makes no sense fits nothing, so that its target goes to
the proxy: a list is written for other programs too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ziggurat.services.host import Network, contains, is_subdomain, literal, parse_network
from ziggurat.services.uri import Uri, split_authority

__all__ = ["NoProxy"]


@dataclass(frozen=True, slots=True)
class _Item:
    """One item: ``*``, a network or a domain, with or without a port."""

    text: str
    network: Network | None = None
    domain: str | None = None
    below: bool = False
    port: int | None = None

    def fits(self, uri: Uri) -> bool:
        if self.port is not None and self.port != uri.port:
            return False
        if self.text == "*":
            return True
        if uri.is_literal:
            address = literal(uri.host)
            return self.network is not None and address is not None and contains(self.network, address)
        if self.domain is None or not is_subdomain(uri.host, self.domain):
            return False
        return not (self.below and uri.host.removesuffix(".") == self.domain)


@dataclass(frozen=True, slots=True)
class NoProxy:
    """A list of targets that need no proxy, in the syntax of ``NO_PROXY``.

    Items are separated by commas, white space or both; empty ones mean nothing. An item is

    - ``*``: everything, also beside other items;
    - ``example.com`` or ``.example.com``: that name and all below it, in any case;
    - ``*.example.com``: all below that name;
    - an address, or a network as ``10.0.0.0/8`` or ``fd00::/8``: literals only, nothing is resolved;
    - a name or an address with ``:port``: that port only. An IPv6 address then needs brackets.

    Args:
        text: the list.

    Attributes:
        ignored: the items that make no sense, e.g. ``192.168.*`` or ``<local>``, and fit nothing.
    """

    text: str = ""
    ignored: tuple[str, ...] = field(init=False, compare=False, repr=False)
    _items: tuple[_Item, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        items, ignored = list[_Item](), list[str]()
        for text in re.split(r"[,\s]+", self.text):
            item = _parse(text) if text else None
            if item is not None:
                items.append(item)
            elif text:
                ignored.append(text)
        object.__setattr__(self, "ignored", tuple(ignored))
        object.__setattr__(self, "_items", tuple(items))

    @property
    def items(self) -> tuple[str, ...]:
        """The items that make sense, as they were written."""
        return tuple(item.text for item in self._items)

    def match(self, uri: Uri) -> str | None:
        """Return the item that fits ``uri``, as it was written; ``None`` if none does."""
        return next((item.text for item in self._items if item.fits(uri)), None)


def _parse(text: str) -> _Item | None:
    if text == "*":
        return _Item(text)
    network = parse_network(text)
    if network is not None:
        return _Item(text, network=network)
    try:
        host, port = split_authority(text)
        network = parse_network(host)
        if network is not None:
            return None if "/" in host else _Item(text, network=network, port=port)
        below = host.startswith("*.")
        # A Uri checks and normalises the name: case, IDNA, characters. The port stands for any.
        domain = Uri("tcp", host.removeprefix("*").removeprefix("."), 1 if port is None else port).host
    except ValueError:
        return None
    return _Item(text, domain=domain.removesuffix("."), below=below, port=port)

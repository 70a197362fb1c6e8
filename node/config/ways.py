"""Which way each network is dialled, and who resolves names: one table for dials, refusals and explanations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ziggurat.node.address import AddressNetwork, NamedAddress, PeerAddress, canonical_ip
from ziggurat.node.config.network_proxy import NetworkProxy
from ziggurat.node.config.proxy import Proxy
from ziggurat.services.host import literal
from ziggurat.services.onion import is_onion
from ziggurat.services.uri import Uri

__all__ = ["SOCKS5_SCHEMES", "TOR_CONTROL", "Way", "WayKind", "Ways"]

WayKind = Literal["direct", "proxy", "refuse"]

ONION_NEEDS_PROXY = (
    "an onion service is reached through Tor only; --onion 127.0.0.1:9050 names its proxy, --tor-control asks Tor"
)

TOR_CONTROL = "tor-control"
"""The setting of a way that is refused for the moment only, until Tor's control port has told its proxy."""

SOCKS5_SCHEMES = ("socks5", "unix")

NOT_KNOWN_YET = "Tor has not told its proxy yet"


@dataclass(frozen=True, slots=True)
class Way:
    """How the addresses of one network are dialled.

    Attributes:
        network: the network; for names ipv4, which they count as.
        setting: the setting that decided: ``socks5-proxy``, ``proxy-net``, ``onion``, ``tor-only``, ``tor-control``.
        proxy: the proxy; ``None`` for a direct dial and for a refusal.
        refusal: why nothing is dialled, in one line; ``None`` if something is.
    """

    network: AddressNetwork
    setting: str
    proxy: Proxy | None = None
    refusal: str | None = None

    @property
    def kind(self) -> WayKind:
        """``direct``, ``proxy`` or ``refuse``."""
        return "refuse" if self.refusal is not None else "direct" if self.proxy is None else "proxy"

    @property
    def via(self) -> str | None:
        """The proxy's address; ``None`` without one."""
        return None if self.proxy is None else self.proxy.uri.authority

    @property
    def resolver(self) -> str:
        """Who resolves a name that goes this way, in words."""
        return (
            "nobody" if self.refusal is not None else "this machine" if self.proxy is None else f"the proxy {self.via}"
        )

    def __str__(self) -> str:
        """Return it in words, with credentials masked."""
        return "refused" if self.refusal is not None else "direct" if self.proxy is None else str(self.proxy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The ways of all networks. A network is served by its own entry, else by the general proxy.

    Once any proxy is set, a network without one is refused: only ``direct`` in its entry allows direct dials. Bitcoin
    Core would dial it directly. Loopback and private addresses are like all others of their family.

    A name may have addresses of both families. It goes through the proxy of ipv4, else the general one, else that of
    ipv6, so that no name is resolved here while there is a proxy to do it. Without any it counts as ipv4.

    Args:
        general: the proxy of all networks without an entry; ``None`` for none.
        entries: the entries; of two for the same network the later one holds.
        onlynet: the networks that the node dials by itself; empty is all of them. What the user names is exempt.
        tor_only: whether nothing is dialled directly, and the node itself dials onion services only. The proxy of onion
            then serves networks without one, too, since Tor has exits.
        randomize: whether each dial through a SOCKS5 proxy without credentials offers new ones.
        awaited: whether Tor's control port will tell a proxy, see `with_tor`. Until then nothing is dialled directly.
    """

    general: Proxy | None = None
    entries: tuple[NetworkProxy, ...] = ()
    onlynet: frozenset[AddressNetwork] = frozenset()
    tor_only: bool = False
    randomize: bool = True
    awaited: bool = False

    @property
    def proxied(self) -> bool:
        """Whether there is any proxy, or will be: whether this machine is to be hidden."""
        return self.general is not None or self.awaited or self.tor_only or any(True for _ in self._own_proxies())

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        """Each proxy in use, once."""
        used = (way.proxy for way in (*map(self.of_network, AddressNetwork), self.of_name()))
        return tuple(dict.fromkeys(proxy for proxy in used if proxy is not None))

    @property
    def dialled(self) -> tuple[AddressNetwork, ...]:
        """The networks that the node dials by itself."""
        return tuple(each for each in AddressNetwork if each in self._wanted and self.of_network(each).refusal is None)

    @property
    def knows_onions(self) -> bool:
        """Whether onion services that peers tell of are of use: the node dials them by itself, and their proxy may be
        Tor. One that serves everything and is not SOCKS5 is none, unless it is named for onion services."""
        way = self.of_network(AddressNetwork.ONION)
        if way.proxy is None or AddressNetwork.ONION not in self.dialled:
            return False
        return way.setting != "socks5-proxy" or way.proxy.uri.scheme in SOCKS5_SCHEMES

    @property
    def seeds(self) -> bool:
        """Whether DNS seeders, which know IP addresses only, are of use and can be asked, now or once Tor is there."""
        ways = (self.of_name(), *map(self.of_network, self._wanted - {AddressNetwork.ONION}))
        closed = [way.refusal is not None and way.setting != TOR_CONTROL for way in ways]
        return not closed[0] and not all(closed[1:])

    def with_tor(self, proxy: Proxy) -> Ways:
        """Return the ways once Tor's control port has told its proxy, which serves what has none."""
        return self if self.general is not None else replace(self, general=proxy)

    def of(self, target: PeerAddress | Uri) -> Way:
        """Return the way to an address or a target. Nothing is resolved."""
        if not isinstance(target, Uri):
            return self.of_name() if isinstance(target, NamedAddress) else self.of_network(target.network)
        if is_onion(target.host):
            return self.of_network(AddressNetwork.ONION)
        if (ip := literal(target.host)) is None:
            return self.of_name()
        return self.of_network(AddressNetwork.IPV4 if canonical_ip(ip).version == 4 else AddressNetwork.IPV6)

    def of_network(self, network: AddressNetwork) -> Way:
        """Return the way to the addresses of a network."""
        own = self._entry(network)
        if own is not None and isinstance(own.entry, Proxy):
            return Way(network, own.setting, own.entry)
        if own is not None and own.entry == "0":
            return Way(network, own.setting, refusal=f"{own.setting} forbids {network}: its proxy is 0")
        if own is not None:
            return Way(network, own.setting)
        if self.general is not None:
            return Way(network, "socks5-proxy", self.general)
        return self._without_proxy(network)

    def of_name(self) -> Way:
        """Return the way to a name."""
        ipv4, ipv6 = (self._entry(network) for network in (AddressNetwork.IPV4, AddressNetwork.IPV6))
        if ipv4 is None or ipv4.entry == "direct":
            if self.general is not None:
                return Way(AddressNetwork.IPV4, "socks5-proxy", self.general)
            if ipv6 is not None and isinstance(ipv6.entry, Proxy):
                return Way(AddressNetwork.IPV4, ipv6.setting, ipv6.entry)
        return self.of_network(AddressNetwork.IPV4)

    def randomizes(self, way: Way) -> bool:
        """Whether each dial of a way offers new credentials to its proxy, so that Tor gives it a circuit of its own."""
        return self.randomize and way.proxy is not None and way.proxy.is_socks5 and way.proxy.credentials is None

    def dials(self, target: PeerAddress) -> bool:
        """Whether the node dials an address that nobody named."""
        way = self.of(target)
        if way.network is AddressNetwork.ONION:
            return self.knows_onions
        return way.refusal is None and way.network in self.dialled

    def table(self) -> list[tuple[str, Way]]:
        """Return the way of each network, and of names."""
        return [*((str(network), self.of_network(network)) for network in AddressNetwork), ("names", self.of_name())]

    def __str__(self) -> str:
        """Return it in words: the only way, or that of each network. Credentials are masked."""
        ways = {n: "Tor's SOCKS port" if way.setting == TOR_CONTROL else str(way) for n, way in self.table()}
        if not self.entries and not self.proxied:
            return "direct"
        return (
            next(iter(ways.values()))
            if len(set(ways.values())) == 1
            else ", ".join(f"{n} {w}" for n, w in ways.items())
        )

    @property
    def _wanted(self) -> frozenset[AddressNetwork]:
        return frozenset({AddressNetwork.ONION} if self.tor_only else self.onlynet or AddressNetwork)

    def _entry(self, network: AddressNetwork) -> NetworkProxy | None:
        return next((each for each in reversed(self.entries) if each.network is network), None)

    def _own_proxies(self) -> Iterator[NetworkProxy]:
        for network in AddressNetwork:
            own = self._entry(network)
            if own is not None and isinstance(own.entry, Proxy):
                yield own

    def _without_proxy(self, network: AddressNetwork) -> Way:
        if self.tor_only and (tor := self._entry(AddressNetwork.ONION)) is not None and isinstance(tor.entry, Proxy):
            return Way(network, "tor-only", tor.entry)
        if self.awaited:
            return Way(network, TOR_CONTROL, refusal=NOT_KNOWN_YET)
        if network is AddressNetwork.ONION:
            return Way(network, "socks5-proxy", refusal=ONION_NEEDS_PROXY)
        if not self.proxied:
            return Way(network, "socks5-proxy")
        other = "tor-only dials nothing directly" if self.tor_only else "once any is set, none is dialled directly"
        hint = "" if self.tor_only else f"; --proxy-net {network}=direct would allow it"
        return Way(network, "socks5-proxy", refusal=f"{network} has no proxy, and {other}{hint}")

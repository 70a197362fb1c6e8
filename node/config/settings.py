"""The typed settings of a node, and the values derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, TypeAlias

from ziggurat.node.address import AddressNetwork, NetAddress, PeerAddress
from ziggurat.node.address_manager import is_publicly_routable
from ziggurat.node.config.contradiction import find_contradiction
from ziggurat.node.config.network_proxy import NetworkProxy
from ziggurat.node.config.networks import MAINNET, Network
from ziggurat.node.config.proxy import Proxy
from ziggurat.node.config.tor import OnionBind, find_tor_contradiction
from ziggurat.node.config.ways import Ways
from ziggurat.node.inbound import BanTarget
from ziggurat.node.ip_network import IpNetwork
from ziggurat.services.uri import Uri

__all__ = ["LOG_FORMATS", "LOG_LEVELS", "LogFormat", "LogLevel", "Settings", "SettingsError", "accepts_family"]

LogFormat: TypeAlias = Literal["auto", "console", "json"]

LOG_FORMATS: tuple[LogFormat, ...] = ("auto", "console", "json")

LogLevel: TypeAlias = Literal["off", "error", "warn", "info", "debug", "trace"]

LOG_LEVELS: tuple[LogLevel, ...] = ("off", "error", "warn", "info", "debug", "trace")

DEFAULT_OUTBOUND = 8
DEFAULT_INBOUND = 128
"""The same default as kaspad's."""

DEFAULT_INBOUND_PER_ADDRESS = 8

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

ALL_INTERFACES = IPv4Address("0.0.0.0")


class SettingsError(ValueError):
    """A setting is wrong. The message is one line that names the setting, its value and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a node; the names are kaspad's.

    Args:
        appdir: the app directory, which holds a folder per network.
        network: the network.
        connect: the only peers to dial; the node then does not listen.
        addpeer: peers to stay connected to, besides those that the node finds.
        listen: the addresses to listen on; empty is all interfaces (of IPv4), or with a proxy none. Port 0 picks a free
            port; ``[::]`` takes both families.
        outpeers: the target number of outbound peers.
        maxinpeers: the maximum number of inbound peers; with 0 the node does not listen.
        maxinpeersperaddr: the maximum number of inbound connections from one IP; loopback and ``inbound_proxy`` are
            exempt.
        inbound_proxy: the networks of proxies and gateways that inbound peers come through.
        ban: the IPs, networks and user agents of peers that are neither let in nor dialled.
        externalip: the address to advertise; port 0 is the port listened on.
        nodnsseed: whether to leave out the DNS seeders.
        uacomment: comments for the user agent.
        logdir: the directory for log files; ``None`` is ``logs`` in `directory`.
        nologfiles: whether to write no log files.
        loglevel: the minimum level of log events.
        log_format: the log format on stderr.
        proxy: the proxy for all outbound connections; ``None`` dials directly.
        proxy_net: the proxies of single networks; of two for the same network the later one holds.
        onion: the proxy of onion services; ``None`` if ``proxy`` or ``proxy_net`` serves them.
        onlynet: the networks that the node dials by itself; empty is all of them. What the user names is exempt.
        no_proxyrandomize: whether to offer a SOCKS5 proxy no credentials, instead of new ones for each dial.
        tor_only: whether to dial nothing directly, and onion services only by itself; see `Ways`.
        tor_control: the address of Tor's control port; ``None`` uses none.
        tor_password_file: the file with the password of the control port.
        tor_cookie: the cookie file of the control port; ``None`` takes the one that Tor names.
        listen_onion: whether to publish an onion service.
        onion_public: whether to tell all peers that can dial onion services of it, and not only those that are reached
            by onion.
        tor_onion_key: the file of its key; ``None`` is ``onion_key`` in `directory`.
        onion_bind: where Tor hands over its connections; ``None`` is loopback, see `onion_listener`.
        socks_from_tor: whether to ask Tor for its SOCKS port where there is a control port, and no proxy that could be
            Tor's is given.

    Raises:
        ValueError: ``connect`` and ``addpeer`` are both given, a number is too small, or the settings of proxies and
            networks contradict each other.
    """

    appdir: Path
    network: Network = MAINNET
    connect: tuple[PeerAddress, ...] = ()
    addpeer: tuple[PeerAddress, ...] = ()
    listen: tuple[NetAddress, ...] = ()
    outpeers: int = DEFAULT_OUTBOUND
    maxinpeers: int = DEFAULT_INBOUND
    maxinpeersperaddr: int = DEFAULT_INBOUND_PER_ADDRESS
    inbound_proxy: tuple[IpNetwork, ...] = ()
    ban: tuple[BanTarget, ...] = ()
    externalip: NetAddress | None = None
    nodnsseed: bool = False
    uacomment: tuple[str, ...] = ()
    logdir: Path | None = None
    nologfiles: bool = False
    loglevel: LogLevel = "info"
    log_format: LogFormat = "auto"
    proxy: Proxy | None = None
    proxy_net: tuple[NetworkProxy, ...] = ()
    onion: NetworkProxy | None = None
    onlynet: tuple[AddressNetwork, ...] = ()
    no_proxyrandomize: bool = False
    tor_only: bool = False
    tor_control: Uri | None = None
    tor_password_file: Path | None = None
    tor_cookie: Path | None = None
    listen_onion: bool = False
    onion_public: bool = False
    tor_onion_key: Path | None = None
    onion_bind: OnionBind | None = None
    socks_from_tor: bool = True

    def __post_init__(self) -> None:
        if self.connect and self.addpeer:
            raise ValueError("connect and addpeer are mutually exclusive: connect means only these peers")
        for name in ("outpeers", "maxinpeers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative: {getattr(self, name)!r}")
        if self.maxinpeersperaddr < 1:
            raise ValueError(f"maxinpeersperaddr must be positive: {self.maxinpeersperaddr!r}")
        problem = find_contradiction(
            self.ways,
            peers=self.permanent_peers,
            listen=self.listen,
            external=self.externalip,
            onion_public=self.onion_public and self.listen_onion,
        ) or find_tor_contradiction(
            self.tor_control,
            password_file=self.tor_password_file,
            cookie=self.tor_cookie,
            listen_onion=self.listen_onion,
            onion_public=self.onion_public,
            onion_bind=self.onion_bind,
            accepts_peers=bool(self.maxinpeers) and not self.connect,
        )
        if problem is not None:
            raise ValueError(problem)

    @property
    def ways(self) -> Ways:
        """Which way each network is dialled."""
        return Ways(
            general=self.proxy,
            entries=(*self.proxy_net, *(() if self.onion is None else (self.onion,))),
            onlynet=frozenset(self.onlynet),
            tor_only=self.tor_only,
            randomize=not self.no_proxyrandomize,
            awaited=self.asks_tor,
        )

    @property
    def asks_tor(self) -> bool:
        """Whether Tor's control port is asked for the proxy of what has none."""
        tor_is_given = self.proxy is not None or (self.onion is not None and isinstance(self.onion.entry, Proxy))
        tor_is_given |= any(
            each.network is AddressNetwork.ONION and isinstance(each.entry, Proxy) for each in self.proxy_net
        )
        return self.tor_control is not None and self.socks_from_tor and not tor_is_given

    @property
    def onion_listener(self) -> OnionBind | None:
        """Where Tor hands over the connections of the onion service: by default loopback, and the port after that which
        the node listens on, or would; ``None`` without an onion service."""
        if not self.listen_onion:
            return None
        if self.onion_bind is not None:
            return self.onion_bind
        port = self.listen[0].port if self.listen else self.network.port
        return NetAddress(IPv4Address("127.0.0.1"), 0 if port in (0, 65535) else port + 1)

    @property
    def onion_key(self) -> Path:
        """The file of the onion service's key."""
        return self.tor_onion_key or self.directory / "onion_key"

    @property
    def directory(self) -> Path:
        """The directory of the network: address book, lock, control socket."""
        return self.appdir / self.network.name

    @property
    def log_directory(self) -> Path | None:
        """The directory for log files; ``None`` if none are written."""
        return None if self.nologfiles else self.logdir or self.directory / "logs"

    @property
    def outbound_target(self) -> int:
        """The target number of outbound peers; 0 with ``connect``."""
        return 0 if self.connect else self.outpeers

    @property
    def inbound_limit(self) -> int:
        """The maximum number of inbound peers; 0 if the node does not listen."""
        return self.maxinpeers if self.listen_addresses or self.listen_onion else 0

    @property
    def inbound_proxies(self) -> tuple[IpNetwork, ...]:
        """The networks that inbound peers come from through a proxy, so that their addresses are not their own.

        Those of ``inbound_proxy``; and loopback, if the node has a proxy and listens on loopback, as an onion service.
        """
        onion_service = self.ways.proxied and any(each.ip.is_loopback for each in self.listen_addresses)
        return (*self.inbound_proxy, *(LOOPBACK if onion_service else ()))

    @property
    def permanent_peers(self) -> tuple[PeerAddress, ...]:
        """The peers to stay connected to: those of ``connect`` or ``addpeer``."""
        return self.connect or self.addpeer

    @property
    def seeders(self) -> tuple[str, ...]:
        """The DNS seeders to query; none with ``connect`` or ``nodnsseed``, or where they are of no use."""
        return () if self.connect or self.nodnsseed or not self.ways.seeds else self.network.seeders

    @property
    def listen_addresses(self) -> tuple[NetAddress, ...]:
        """The addresses to listen on, each once. With a proxy none, unless ``listen`` or ``externalip`` is given."""
        if self.connect or not self.maxinpeers:
            return ()
        if self.listen:
            return tuple(dict.fromkeys(self.listen))
        if self.ways.proxied and self.externalip is None:
            return ()
        return (NetAddress(ALL_INTERFACES, self.network.port),)

    def advertised_address(self, listening: Sequence[NetAddress]) -> NetAddress | None:
        """Return the address to advertise in our Version message, given those listened on.

        As in kaspad, it must be publicly routable. On a private network (devnet, simnet) any ``externalip`` will do,
        because nodes behind one router have only private addresses to find each other by.

        ``None`` with a proxy, unless ``externalip`` is given. If it is ``None`` without a proxy, the service may use
        an address of the machine's interfaces; see `OwnAddress`.
        """
        if not listening:
            return None
        external = None if self.externalip is None else _with_port(self.externalip, listening)
        if self.network.private and external is not None and _can_be_dialled(external):
            return external
        candidates = [external, *(() if self.ways.proxied else listening)]
        return next((a for a in candidates if a is not None and a.port and is_publicly_routable(a.ip)), None)


def accepts_family(listener: NetAddress, version: int) -> bool:
    """Return whether peers of an IP version can connect to a listener; ``[::]`` takes both."""
    return listener.ip.version == version or (listener.ip.version == 6 and listener.ip.is_unspecified)


def _with_port(address: NetAddress, listening: Sequence[NetAddress]) -> NetAddress:
    """Give an address without a port that of the listener for its family, else of the first one."""
    if address.port:
        return address
    of_family = [each for each in listening if accepts_family(each, address.ip.version)]
    return NetAddress(address.ip, (of_family or listening)[0].port)


def _can_be_dialled(address: NetAddress) -> bool:
    return address.port > 0 and not (address.ip.is_loopback or address.ip.is_unspecified)

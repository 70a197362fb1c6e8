"""What a node was told to do, in types, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal, TypeAlias

from ziggurat.node.address import NetAddress, PeerAddress
from ziggurat.node.address_manager import is_publicly_routable
from ziggurat.node.config.networks import MAINNET, Network
from ziggurat.node.config.proxy import Proxy

__all__ = ["LOG_FORMATS", "LOG_LEVELS", "LogFormat", "LogLevel", "Settings", "SettingsError"]

LogFormat: TypeAlias = Literal["auto", "console", "json"]

LOG_FORMATS: tuple[LogFormat, ...] = ("auto", "console", "json")

LogLevel: TypeAlias = Literal["off", "error", "warn", "info", "debug", "trace"]

LOG_LEVELS: tuple[LogLevel, ...] = ("off", "error", "warn", "info", "debug", "trace")

DEFAULT_OUTBOUND = 8
DEFAULT_INBOUND = 128
"""kaspad's own."""

ALL_INTERFACES = IPv4Address("0.0.0.0")


class SettingsError(ValueError):
    """A setting is wrong. Its text is one line that names the setting, the value and what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a node; names as in kaspad.

    Args:
        appdir: the directory of all networks.
        network: which one.
        connect: dial these and nobody else, and listen nowhere.
        addpeer: stay connected to these as well.
        listen: where to listen; ``None`` is every interface, or with a proxy nowhere. Port 0 takes a free one.
        outpeers: how many peers to dial.
        maxinpeers: how many may dial us; 0 listens nowhere.
        externalip: where others can reach us.
        nodnsseed: ask no DNS seeder.
        uacomment: what the user agent says besides the version.
        logdir: of the log files; ``None`` is ``logs`` in `directory`.
        nologfiles: write none.
        loglevel: the least important events that are shown.
        log_format: of the lines on stderr.
        proxy: what every outbound connection goes through; ``None`` dials directly.

    Raises:
        ValueError: ``connect`` with ``addpeer``, or a negative number.
    """

    appdir: Path
    network: Network = MAINNET
    connect: tuple[PeerAddress, ...] = ()
    addpeer: tuple[PeerAddress, ...] = ()
    listen: NetAddress | None = None
    outpeers: int = DEFAULT_OUTBOUND
    maxinpeers: int = DEFAULT_INBOUND
    externalip: NetAddress | None = None
    nodnsseed: bool = False
    uacomment: tuple[str, ...] = ()
    logdir: Path | None = None
    nologfiles: bool = False
    loglevel: LogLevel = "info"
    log_format: LogFormat = "auto"
    proxy: Proxy | None = None

    def __post_init__(self) -> None:
        if self.connect and self.addpeer:
            raise ValueError("connect and addpeer exclude each other: connect means these peers and nobody else")
        for name in ("outpeers", "maxinpeers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative: {getattr(self, name)!r}")

    @property
    def directory(self) -> Path:
        """What belongs to one network: the address book, the lock, the control socket."""
        return self.appdir / self.network.name

    @property
    def log_directory(self) -> Path | None:
        """Where log files go; ``None`` when none are written."""
        return None if self.nologfiles else self.logdir or self.directory / "logs"

    @property
    def outbound_target(self) -> int:
        """How many peers of our own choice to dial: none with ``connect``."""
        return 0 if self.connect else self.outpeers

    @property
    def inbound_limit(self) -> int:
        """How many peers may dial us; 0 when we listen nowhere."""
        return self.maxinpeers if self.listen_address is not None else 0

    @property
    def permanent_peers(self) -> tuple[PeerAddress, ...]:
        """Whom to dial again and again."""
        return self.connect or self.addpeer

    @property
    def seeders(self) -> tuple[str, ...]:
        """Whom to ask for first addresses; nobody with ``connect`` or ``nodnsseed``."""
        return () if self.connect or self.nodnsseed else self.network.seeders

    @property
    def listen_address(self) -> NetAddress | None:
        """Where to listen. Behind a proxy nowhere, unless the user says where, or where we are reached."""
        if self.connect or not self.maxinpeers:
            return None
        if self.listen is not None:
            return self.listen
        if self.proxy is not None and self.externalip is None:
            return None
        return NetAddress(ALL_INTERFACES, self.network.port)

    @property
    def advertised_address(self) -> NetAddress | None:
        """What the user lets our Version say of where we are.

        As with kaspad it is an address that the whole internet can reach. On a private network (devnet, simnet) the
        user's own word is enough: a fleet behind one router has no other addresses, and would never find itself.

        ``None`` behind a proxy, unless ``externalip`` is given; without one the service may look at the machine's
        interfaces, see `own_address`.
        """
        if self.listen_address is None:
            return None
        if self.network.private and self.externalip is not None and _can_be_dialled(self.externalip):
            return self.externalip
        candidates = [self.externalip, None if self.proxy is not None else self.listen]
        return next((a for a in candidates if a is not None and a.port and is_publicly_routable(a.ip)), None)


def _can_be_dialled(address: NetAddress) -> bool:
    return address.port > 0 and not (address.ip.is_loopback or address.ip.is_unspecified)

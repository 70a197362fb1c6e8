"""Every setting: its name on the command line and in a file, its variables, and how its text becomes a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ziggurat.node.address import NetAddress, PeerAddress, parse_peer_address
from ziggurat.node.config.networks import Network
from ziggurat.node.config.proxy import PROXY_SYNTAX, masked, parse_socks5_proxy
from ziggurat.node.config.settings import LOG_FORMATS, LOG_LEVELS, LogFormat, LogLevel
from ziggurat.node.handshake import user_agent

__all__ = ["IGNORED_FLAGS", "IGNORED_VALUES", "OPTIONS", "Option", "RawValue"]

RawValue: TypeAlias = str | bool | tuple[str, ...]
"""What one source says of one setting: text, a switch, or for what can be repeated all of its texts."""

PEER_SYNTAX = "IP[:PORT] or NAME[:PORT]"
IP_SYNTAX = "IP[:PORT]"


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    Attributes:
        name: with dashes before it the flag, without them the key in a file.
        help: a line for ``-h``.
        read: makes a value of one text, for a network; ``None`` for a switch.
        expected: what would be right, for a message about a bad value.
        many: whether it can be given more than once.
        number: whether it is a number in a file.
        short: the one-letter flag.
        alias: a second name.
        kaspad: the variable of kaspad's that counts when ours is not set. There is one only for what describes the
            network and its peers: a kaspad on the same machine keeps its directories, ports and names for itself.
        node_only: whether it means nothing to a command that only dials.
        in_file: whether it can stand in a configuration file.
        mask: makes a text harmless to show.
    """

    name: str
    help: str
    read: Callable[[str, Network], object] | None = None
    expected: str = ""
    many: bool = False
    number: bool = False
    short: str | None = None
    alias: str | None = None
    kaspad: str | None = None
    node_only: bool = True
    in_file: bool = True
    mask: Callable[[str], str] = str

    @property
    def variable(self) -> str:
        """Our environment variable for it."""
        return _variable(self.name)

    @property
    def alias_variable(self) -> str | None:
        """The variable of its second name."""
        return None if self.alias is None else _variable(self.alias)

    @property
    def field(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_")


def _variable(name: str) -> str:
    return f"ZIGGURAT_{name.replace('-', '_').upper()}"


def _peer(text: str, network: Network) -> PeerAddress:
    address = parse_peer_address(text, network.port)
    address.uri()  # port 0 can be listened on, and not dialled
    return address


def _literal(text: str, network: Network) -> NetAddress:
    return NetAddress.parse(text, network.port)


def _count(text: str, network: Network) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("not a number")
    if digits != text:
        raise ValueError("negative")
    if len(digits) > 9:
        raise ValueError("too large")
    return int(digits)


def _path(text: str, network: Network) -> Path:
    if not text or "\0" in text:
        raise ValueError("not a path")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:  # "~somebody", who is nobody
        raise ValueError(str(error)) from error


def _comment(text: str, network: Network) -> str:
    user_agent([text])  # refuses what the user agent's own grammar uses
    return text


def _level(text: str, network: Network) -> LogLevel:
    # kaspad also takes "subsystem=level" in a list; its subsystems are not ours.
    general = [part for part in text.lower().split(",") if "=" not in part] or ["info"]
    for level in LOG_LEVELS:
        if [level] == general:
            return level
    raise ValueError("no such level")


def _format(text: str, network: Network) -> LogFormat:
    for log_format in LOG_FORMATS:
        if log_format == text:
            return log_format
    raise ValueError("no such format")


def _suffix(text: str, network: Network) -> int:
    number = _count(text, network) if len(text) <= 9 else int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number < 1 << 32:
        raise ValueError("not a number of 32 bits")
    return number


COUNT_SYNTAX = "a number, 0 or more"

OPTIONS: tuple[Option, ...] = (
    Option(
        "socks5-proxy",
        "go through this SOCKS5 proxy (port 9050 when none is given), or 'none'",
        lambda text, network: parse_socks5_proxy(text),
        PROXY_SYNTAX,
        alias="proxy",
        node_only=False,
        mask=masked,
    ),
    Option("testnet", "use the test network", kaspad="KASPAD_TESTNET", node_only=False),
    Option(
        "netsuffix",
        "number of the test network (default: 10)",
        _suffix,
        COUNT_SYNTAX,
        number=True,
        kaspad="KASPAD_NETSUFFIX",
        node_only=False,
    ),
    Option("devnet", "use the development network", kaspad="KASPAD_DEVNET", node_only=False),
    Option("simnet", "use the simulation network", kaspad="KASPAD_SIMNET", node_only=False),
    Option("connect", "dial this peer and nobody else", _peer, PEER_SYNTAX, many=True, kaspad="KASPAD_CONNECTPEERS"),
    Option("addpeer", "stay connected to this peer", _peer, PEER_SYNTAX, many=True, kaspad="KASPAD_ADDPEERS"),
    Option(
        "listen", "where to listen (default: 0.0.0.0, the network's port; with a proxy nowhere)", _literal, IP_SYNTAX
    ),
    Option(
        "outpeers", "how many peers to dial (default: 8)", _count, COUNT_SYNTAX, number=True, kaspad="KASPAD_OUTPEERS"
    ),
    Option(
        "maxinpeers",
        "how many may dial us (default: 128)",
        _count,
        COUNT_SYNTAX,
        number=True,
        kaspad="KASPAD_MAXINPEERS",
    ),
    Option("externalip", "where others can reach us", _literal, IP_SYNTAX),
    Option("nodnsseed", "ask no DNS seeder", kaspad="KASPAD_NODNSSEED"),
    Option("uacomment", "say this in the user agent", _comment, "text without / : ( )", many=True),
    Option("appdir", "directory of everything that is kept", _path, "a directory", short="b", node_only=False),
    Option("logdir", "directory of the log files (default: logs, beside the address book)", _path, "a directory"),
    Option("nologfiles", "write no log files"),
    Option(
        "loglevel",
        "least important events to show (default: info)",
        _level,
        ", ".join(LOG_LEVELS),
        short="d",
        node_only=False,
    ),
    Option(
        "log-format",
        "of the lines on stderr: auto is console on a terminal, else json",
        _format,
        ", ".join(LOG_FORMATS),
        node_only=False,
    ),
    Option("configfile", "take settings from this TOML file as well", _path, "a file", short="C", in_file=False),
)

IGNORED_FLAGS = (
    *("archival", "disable-upnp", "enable-mainnet-mining", "enable-unsynced-mining", "nogrpc", "perf-metrics"),
    *("reset-db", "sanity", "unsaferpc", "utxoindex", "wrpc-verbose", "yes"),
)
"""kaspad's switches that mean nothing here, as flags and as keys."""

IGNORED_VALUES = (
    *("async-threads", "block-template-cache-lifetime", "max-tracked-addresses", "override-params-file"),
    *("perf-metrics-interval-sec", "ram-scale", "retention-period-days", "rocksdb-cache-size", "rocksdb-preset"),
    *("rocksdb-wal-dir", "rpclisten", "rpclisten-borsh", "rpclisten-json", "rpcmaxclients", "ua-rule"),
)
"""kaspad's settings with a value that mean nothing here. ``ua-rule`` is among them: the log says so."""

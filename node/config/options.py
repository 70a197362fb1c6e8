"""The table of settings: flag, key, environment variables, help text and parser of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ziggurat.node.address import NetAddress, PeerAddress, parse_peer_address
from ziggurat.node.config.networks import Network
from ziggurat.node.config.proxy import PROXY_SYNTAX, PROXY_URL_SYNTAX, masked, parse_proxy_url, parse_socks5_proxy
from ziggurat.node.config.settings import LOG_FORMATS, LOG_LEVELS, LogFormat, LogLevel
from ziggurat.node.handshake import user_agent
from ziggurat.node.inbound import BAN_SYNTAX, BanTarget, parse_ban
from ziggurat.node.ip_network import IpNetwork, parse_network

__all__ = ["IGNORED_FLAGS", "IGNORED_VALUES", "OPTIONS", "Option", "RawValue"]

RawValue: TypeAlias = str | bool | tuple[str, ...]
"""The unparsed value of a setting: text, a boolean for a switch, or all texts of a repeatable setting."""

PEER_SYNTAX = "IP[:PORT] or NAME[:PORT]"
PEER_METAVAR = "HOST[:PORT]"
IP_SYNTAX = "IP[:PORT]"
NETWORK_SYNTAX = "IP or IP/BITS"


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    Attributes:
        name: the key in a file; the flag is the same with ``--`` in front.
        help: the help text for ``-h``.
        read: the parser of one text, given the network; ``None`` for a switch.
        expected: the expected syntax, for error messages.
        metavar: the syntax in a word, for ``-h``; without it ``-h`` says what is ``expected``.
        many: whether the setting can be repeated.
        single: whether a file may also hold one string instead of a list, as in kaspad's.
        number: whether the value is an integer in a file.
        short: a one-letter flag.
        kaspad: the kaspad variable to use if ours is not set. Only settings of the network and its peers have one:
            a kaspad on the same machine has its own directories, ports and names.
        node_only: whether commands that only dial lack the setting.
        in_file: whether a configuration file may contain it.
        mask: a function that removes secrets from a text.
    """

    name: str
    help: str
    read: Callable[[str, Network], object] | None = None
    expected: str = ""
    metavar: str = ""
    many: bool = False
    single: bool = False
    number: bool = False
    short: str | None = None
    kaspad: str | None = None
    node_only: bool = True
    in_file: bool = True
    mask: Callable[[str], str] = str

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return f"ZIGGURAT_{self.name.replace('-', '_').upper()}"

    @property
    def field(self) -> str:
        """The name of its field in `Settings`."""
        return self.name.replace("-", "_")


def _peer(text: str, network: Network) -> PeerAddress:
    address = parse_peer_address(text, network.port)
    address.uri()  # raises for port 0, which can be listened on but not dialled
    return address


def _literal(text: str, network: Network) -> NetAddress:
    return NetAddress.parse(text, network.port)


def _external(text: str, network: Network) -> NetAddress:
    address = NetAddress.parse(text, 0)  # without a port it takes the listener's
    if address.port == 0 and NetAddress.parse(text, 1) == address:
        raise ValueError("peers cannot dial port 0")
    return address


def _network(text: str, network: Network) -> IpNetwork:
    return parse_network(text)


def _ban(text: str, network: Network) -> BanTarget:
    return parse_ban(text)


def _positive(text: str, network: Network) -> int:
    if (number := _count(text, network)) == 0:
        raise ValueError("zero")
    return number


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
    except RuntimeError as error:  # the user in "~user" does not exist
        raise ValueError(str(error)) from error
    except OSError as error:
        raise ValueError(f"relative to the working directory, which cannot be found: {error.strerror}") from error


def _comment(text: str, network: Network) -> str:
    user_agent([text])  # raises for characters that the user agent's syntax reserves
    return text


def _level(text: str, network: Network) -> LogLevel:
    # kaspad also accepts "subsystem=level" in a list. We have no subsystems and skip those.
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
        raise ValueError("not an unsigned 32-bit number")
    return number


COUNT_SYNTAX = "a number, 0 or more"

OPTIONS: tuple[Option, ...] = (
    Option(
        "socks5-proxy",
        "SOCKS5 proxy for all outbound connections (default port: 9050)",
        lambda text, network: parse_socks5_proxy(text),
        PROXY_SYNTAX,
        node_only=False,
        mask=masked,
    ),
    Option(
        "proxy",
        "the same by URL, for any kind of proxy",
        lambda text, network: parse_proxy_url(text),
        PROXY_URL_SYNTAX,
        node_only=False,
        mask=masked,
    ),
    Option("testnet", "use a test network", kaspad="KASPAD_TESTNET", node_only=False),
    Option(
        "netsuffix",
        "the test network's number (default: 10)",
        _suffix,
        COUNT_SYNTAX,
        "N",
        number=True,
        kaspad="KASPAD_NETSUFFIX",
        node_only=False,
    ),
    Option("devnet", "use the development network", kaspad="KASPAD_DEVNET", node_only=False),
    Option("simnet", "use the simulation network", kaspad="KASPAD_SIMNET", node_only=False),
    Option(
        "connect",
        "dial only this peer, and do not listen",
        _peer,
        PEER_SYNTAX,
        PEER_METAVAR,
        many=True,
        kaspad="KASPAD_CONNECTPEERS",
    ),
    Option(
        "addpeer",
        "keep a connection to this peer",
        _peer,
        PEER_SYNTAX,
        PEER_METAVAR,
        many=True,
        kaspad="KASPAD_ADDPEERS",
    ),
    Option(
        "listen",
        "address to listen on; [::] takes both families (default: 0.0.0.0 and the network's port; none with a proxy)",
        _literal,
        IP_SYNTAX,
        IP_SYNTAX,
        many=True,
        single=True,
    ),
    Option(
        "outpeers",
        "target number of outbound peers (default: 8)",
        _count,
        COUNT_SYNTAX,
        "N",
        number=True,
        kaspad="KASPAD_OUTPEERS",
    ),
    Option(
        "maxinpeers",
        "maximum number of inbound peers (default: 128)",
        _count,
        COUNT_SYNTAX,
        "N",
        number=True,
        kaspad="KASPAD_MAXINPEERS",
    ),
    Option(
        "maxinpeersperaddr",
        "maximum number of inbound peers from one IP, loopback aside (default: 8)",
        _positive,
        "a number, 1 or more",
        number=True,
    ),
    Option(
        "inbound-proxy",
        "inbound peers from this IP or network come through a proxy, as behind a container's gateway: no limit per IP",
        _network,
        NETWORK_SYNTAX,
        many=True,
    ),
    Option("ban", "neither let in nor dial these peers, besides those of 'ziggurat ban'", _ban, BAN_SYNTAX, many=True),
    Option(
        "externalip", "address to advertise to peers (default port: that of --listen)", _external, IP_SYNTAX, IP_SYNTAX
    ),
    Option("nodnsseed", "do not query DNS seeders", kaspad="KASPAD_NODNSSEED"),
    Option("uacomment", "comment to add to the user agent", _comment, "text without / : ( )", many=True),
    Option("appdir", "directory for all data", _path, "a directory", "DIR", short="b", node_only=False),
    Option("logdir", "directory for log files (default: logs, beside the address book)", _path, "a directory", "DIR"),
    Option("nologfiles", "do not write log files"),
    Option(
        "loglevel",
        "minimum level of log events (default: info)",
        _level,
        ", ".join(LOG_LEVELS),
        short="d",
        node_only=False,
    ),
    Option(
        "log-format",
        "log format on stderr; auto is console on a terminal, else json (default: auto)",
        _format,
        ", ".join(LOG_FORMATS),
        node_only=False,
    ),
    Option(
        "configfile",
        "also read settings from this TOML file",
        _path,
        "a file",
        "FILE",
        short="C",
        in_file=False,
        node_only=False,
    ),
)

IGNORED_FLAGS = (
    *("archival", "disable-upnp", "enable-mainnet-mining", "enable-unsynced-mining", "nogrpc", "perf-metrics"),
    *("reset-db", "sanity", "unsaferpc", "utxoindex", "wrpc-verbose", "yes"),
)
"""kaspad's switches that have no effect here, as flags and as keys."""

IGNORED_VALUES = (
    *("async-threads", "block-template-cache-lifetime", "max-tracked-addresses", "override-params-file"),
    *("perf-metrics-interval-sec", "ram-scale", "retention-period-days", "rocksdb-cache-size", "rocksdb-preset"),
    *("rocksdb-wal-dir", "rpclisten", "rpclisten-borsh", "rpclisten-json", "rpcmaxclients", "ua-rule"),
)
"""kaspad's settings with a value that have no effect here, as flags and as keys."""

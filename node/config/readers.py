"""Functions that read the value of a setting from its text, given the network. A `ValueError` says what is wrong."""

from __future__ import annotations

from pathlib import Path

from ziggurat.node.address import NetAddress, PeerAddress, parse_peer_address
from ziggurat.node.config.networks import Network
from ziggurat.node.config.settings import LOG_FORMATS, LOG_LEVELS, LogFormat, LogLevel
from ziggurat.node.config.tor import OnionBind, parse_onion_bind
from ziggurat.node.handshake import user_agent
from ziggurat.node.inbound import BanTarget, parse_ban
from ziggurat.node.ip_network import IpNetwork, parse_network

__all__ = [
    "read_ban",
    "read_comment",
    "read_count",
    "read_external",
    "read_format",
    "read_level",
    "read_literal",
    "read_network",
    "read_onion_bind",
    "read_path",
    "read_peer",
    "read_positive",
    "read_suffix",
]


def read_peer(text: str, network: Network) -> PeerAddress:
    address = parse_peer_address(text, network.port)
    address.uri()  # raises for port 0, which can be listened on but not dialled
    return address


def read_literal(text: str, network: Network) -> NetAddress:
    return NetAddress.parse(text, network.port)


def read_external(text: str, network: Network) -> NetAddress:
    address = NetAddress.parse(text, 0)  # without a port it takes the listener's
    if address.port == 0 and NetAddress.parse(text, 1) == address:
        raise ValueError("peers cannot dial port 0")
    return address


def read_onion_bind(text: str, network: Network) -> OnionBind:
    return parse_onion_bind(text, network.port + 1)


def read_network(text: str, network: Network) -> IpNetwork:
    return parse_network(text)


def read_ban(text: str, network: Network) -> BanTarget:
    return parse_ban(text)


def read_positive(text: str, network: Network) -> int:
    if (number := read_count(text, network)) == 0:
        raise ValueError("zero")
    return number


def read_count(text: str, network: Network) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("not a number")
    if digits != text:
        raise ValueError("negative")
    if len(digits) > 9:
        raise ValueError("too large")
    return int(digits)


def read_path(text: str, network: Network) -> Path:
    if not text or "\0" in text:
        raise ValueError("not a path")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:  # the user in "~user" does not exist
        raise ValueError(str(error)) from error
    except OSError as error:
        raise ValueError(f"relative to the working directory, which cannot be found: {error.strerror}") from error


def read_comment(text: str, network: Network) -> str:
    user_agent([text])  # raises for characters that the user agent's syntax reserves
    return text


def read_level(text: str, network: Network) -> LogLevel:
    # kaspad also accepts "subsystem=level" in a list. We have no subsystems and skip those.
    general = [part for part in text.lower().split(",") if "=" not in part] or ["info"]
    for level in LOG_LEVELS:
        if [level] == general:
            return level
    raise ValueError("no such level")


def read_format(text: str, network: Network) -> LogFormat:
    for log_format in LOG_FORMATS:
        if log_format == text:
            return log_format
    raise ValueError("no such format")


def read_suffix(text: str, network: Network) -> int:
    number = read_count(text, network) if len(text) <= 9 else int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number < 1 << 32:
        raise ValueError("not an unsigned 32-bit number")
    return number

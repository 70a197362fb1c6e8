"""The settings ``--proxy-net``, ``--onion`` and ``--onlynet``: the proxy of one network, and the networks to dial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ziggurat.node.address import AddressNetwork
from ziggurat.node.config.proxy import DIRECT, Proxy, masked, parse_proxy_url

__all__ = [
    "NETWORK_NAMES",
    "NETWORK_PROXY_SYNTAX",
    "ONION_SYNTAX",
    "Entry",
    "NetworkProxy",
    "masked_entry",
    "parse_address_network",
    "parse_network_proxy",
    "parse_onion_proxy",
]

Entry: TypeAlias = Proxy | Literal["direct", "0"]
"""What serves a network: a proxy, nothing (``direct``), or it is not dialled (``0``)."""

NETWORK_NAMES = "ipv4, ipv6 or onion"

ADDRESS_SYNTAX = "SCHEME://[USER:PASSWORD@]HOST[:PORT], HOST[:PORT] or unix:/PATH (SOCKS5)"

NETWORK_PROXY_SYNTAX = f"NET={ADDRESS_SYNTAX}, NET=direct or NET=0; NET is {NETWORK_NAMES}"

ONION_SYNTAX = f"{ADDRESS_SYNTAX}, or 0 for no onion service"

ONION_NEEDS_TOR = "an onion service is reached through Tor only, never directly; write 0 to dial none"


@dataclass(frozen=True, slots=True)
class NetworkProxy:
    """What serves one network.

    Attributes:
        network: the network.
        entry: the proxy, ``direct`` to dial without one, or ``0`` not to dial it.
        setting: the name of the setting that says so.
    """

    network: AddressNetwork
    entry: Entry
    setting: Literal["proxy-net", "onion"] = "proxy-net"


def parse_address_network(text: str) -> AddressNetwork:
    """Parse the name of a network, in any case; ``tor`` is another name of onion, as in Bitcoin Core.

    Raises:
        ValueError: there is no such network.
    """
    name = text.lower()
    try:
        return AddressNetwork("onion" if name == "tor" else name)
    except ValueError:
        raise ValueError(f"unknown network {text!r}" if text else "no network") from None


def parse_network_proxy(text: str) -> NetworkProxy:
    """Parse ``NET=ADDR``, ``NET=direct`` or ``NET=0``.

    Raises:
        ValueError: the network is unknown, or what follows is none of them. The message contains no credentials.
    """
    name, equals, address = text.partition("=")
    if not equals:
        raise ValueError("no '=' between the network and the proxy")
    network = parse_address_network(name)
    if address.lower() == "direct":
        if network is AddressNetwork.ONION:
            raise ValueError(ONION_NEEDS_TOR)
        return NetworkProxy(network, "direct")
    return NetworkProxy(network, _entry(network, address))


def parse_onion_proxy(text: str) -> NetworkProxy:
    """Parse the value of ``--onion``, which is ``--proxy-net onion=`` in short.

    Raises:
        ValueError: as above.
    """
    return NetworkProxy(AddressNetwork.ONION, _entry(AddressNetwork.ONION, text), "onion")


def masked_entry(text: str) -> str:
    """Return ``NET=ADDR`` with everything masked that may be credentials."""
    name, equals, address = text.partition("=")
    return f"{name}={masked(address)}" if equals and name.isalnum() else masked(text)


def _entry(network: AddressNetwork, text: str) -> Entry:
    if text == "0":
        return "0"
    if text == DIRECT:
        raise ValueError(ONION_NEEDS_TOR if network is AddressNetwork.ONION else "write direct to dial without a proxy")
    proxy = parse_proxy_url(text)
    assert proxy is not None  # only DIRECT is none
    if network is AddressNetwork.ONION and proxy.uri.scheme == "socks4":
        raise ValueError("SOCKS4 takes no names, and an onion service is one: use socks4a or socks5")
    return proxy

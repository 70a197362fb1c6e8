"""Kaspa's networks: their names on the wire, P2P ports and DNS seeders."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEVNET", "MAINNET", "SIMNET", "Network", "numbered_testnet"]

DEFAULT_SUFFIX = 10
"""The testnet used by default, the only one that kaspad 2.1.0 has parameters for."""


@dataclass(frozen=True, slots=True)
class Network:
    """A Kaspa network.

    Attributes:
        name: the name in the Version message, and of the network's folder in the app directory.
        port: the default P2P port.
        seeders: DNS names that resolve to nodes of the network, which listen on ``port``.
        private: whether each user runs their own network, so that its nodes may have private addresses.
    """

    name: str
    port: int
    seeders: tuple[str, ...] = ()
    private: bool = False

    def __str__(self) -> str:
        return self.name


MAINNET = Network(
    "kaspa-mainnet",
    16111,
    (
        "mainnet-dnsseed-1.kaspanet.org",
        "mainnet-dnsseed-2.kaspanet.org",
        "seeder1.kaspad.net",
        "seeder2.kaspad.net",
        "seeder3.kaspad.net",
        "seeder4.kaspad.net",
        "kaspadns.kaspacalc.net",
        "n-mainnet.kaspa.ws",
        "dnsseeder-kaspa-mainnet.x-con.at",
    ),
)

SIMNET = Network("kaspa-simnet", 16511, private=True)

DEVNET = Network("kaspa-devnet", 16611, private=True)

TESTNETS = {
    10: Network(
        "kaspa-testnet-10",
        16211,
        ("seeder1-tn.kaspad.net", "dnsseeder-kaspa-testnet.x-con.at", "n-testnet-10.kaspa.ws"),
    ),
    12: Network("kaspa-testnet-12", 16311),
}

OTHER_TESTNET_PORT = 16411


def numbered_testnet(suffix: int = DEFAULT_SUFFIX) -> Network:
    """Return the testnet with a number.

    Raises:
        ValueError: the number is not an unsigned 32-bit integer.
    """
    if not 0 <= suffix < 1 << 32:
        raise ValueError(f"bad testnet suffix: {suffix!r} (0 to 4294967295)")
    return TESTNETS.get(suffix) or Network(f"kaspa-testnet-{suffix}", OTHER_TESTNET_PORT)

from __future__ import annotations

import pytest

from ziggurat.node.config.networks import DEVNET, MAINNET, SIMNET, Network, numbered_testnet


@pytest.mark.parametrize(
    ("network", "name", "port"),
    [
        (MAINNET, "kaspa-mainnet", 16111),
        (numbered_testnet(10), "kaspa-testnet-10", 16211),
        (numbered_testnet(12), "kaspa-testnet-12", 16311),
        (numbered_testnet(7), "kaspa-testnet-7", 16411),
        (SIMNET, "kaspa-simnet", 16511),
        (DEVNET, "kaspa-devnet", 16611),
    ],
)
def test_each_network_has_kaspads_name_and_port(network: Network, name: str, port: int) -> None:
    assert (str(network), network.port) == (name, port)


def test_only_public_networks_have_seeders() -> None:
    assert len(MAINNET.seeders) == 9
    assert len(numbered_testnet(10).seeders) == 3
    assert SIMNET.seeders == DEVNET.seeders == numbered_testnet(12).seeders == ()


@pytest.mark.parametrize("suffix", [-1, 1 << 32])
def test_a_suffix_beyond_32_bits_is_an_error(suffix: int) -> None:
    with pytest.raises(ValueError, match=str(suffix)):
        numbered_testnet(suffix)

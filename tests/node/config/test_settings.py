from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ziggurat.node.address import NetAddress, parse_network, parse_peer_address
from ziggurat.node.config.networks import DEVNET, MAINNET
from ziggurat.node.config.proxy import parse_socks5_proxy
from ziggurat.node.config.settings import Settings, SettingsError

PLAIN = Settings(appdir=Path("/app"))
PROXIED = replace(PLAIN, proxy=parse_socks5_proxy("127.0.0.1"))
ROUTABLE = NetAddress.parse("9.9.9.9:16111")
PRIVATE = NetAddress.parse("10.0.0.1:16111")
PEER = parse_peer_address("192.0.2.1:16111")
GATEWAY = parse_network("172.17.0.1")


def test_a_plain_node_listens_everywhere_and_dials_eight() -> None:
    assert str(PLAIN.listen_address) == "0.0.0.0:16111"
    assert (PLAIN.outbound_target, PLAIN.inbound_limit) == (8, 128)
    assert PLAIN.seeders == MAINNET.seeders
    assert PLAIN.advertised_address is None


def test_with_a_proxy_there_is_no_listener_and_nothing_is_advertised() -> None:
    assert PROXIED.listen_address is None
    assert PROXIED.advertised_address is None
    assert PROXIED.inbound_limit == 0
    assert PROXIED.outbound_target == 8


def test_with_a_proxy_listen_or_externalip_adds_a_listener() -> None:
    assert replace(PROXIED, listen=PRIVATE).listen_address == PRIVATE
    assert str(replace(PROXIED, externalip=ROUTABLE).listen_address) == "0.0.0.0:16111"


def test_with_a_proxy_only_externalip_is_advertised() -> None:
    assert replace(PROXIED, listen=ROUTABLE).advertised_address is None
    assert replace(PROXIED, listen=PRIVATE, externalip=ROUTABLE).advertised_address == ROUTABLE


@pytest.mark.parametrize(
    ("listen", "external", "advertised"),
    [
        (None, ROUTABLE, ROUTABLE),
        (ROUTABLE, None, ROUTABLE),
        (PRIVATE, None, None),
        (ROUTABLE, PRIVATE, ROUTABLE),
        (NetAddress.parse("9.9.9.9:0"), None, None),
    ],
)
def test_only_a_routable_address_is_advertised(
    listen: NetAddress | None, external: NetAddress | None, advertised: NetAddress | None
) -> None:
    assert replace(PLAIN, listen=listen, externalip=external).advertised_address == advertised


@pytest.mark.parametrize(
    ("external", "advertised"),
    [
        (PRIVATE, PRIVATE),
        (NetAddress.parse("10.0.0.1:0"), None),
        (NetAddress.parse("127.0.0.1:16611"), None),
        (NetAddress.parse("0.0.0.0:16611"), None),
    ],
)
def test_on_a_private_network_a_private_externalip_is_advertised(
    external: NetAddress, advertised: NetAddress | None
) -> None:
    settings = replace(PLAIN, network=DEVNET, externalip=external)

    assert settings.advertised_address == advertised
    assert replace(PLAIN, network=DEVNET, listen=PRIVATE).advertised_address is None


def test_connect_means_only_these_peers() -> None:
    settings = replace(PLAIN, connect=(PEER,), listen=PRIVATE, externalip=ROUTABLE)

    assert settings.permanent_peers == (PEER,)
    assert (settings.outbound_target, settings.inbound_limit) == (0, 0)
    assert settings.listen_address is None
    assert settings.advertised_address is None
    assert settings.seeders == ()


def test_addpeer_adds_to_the_other_outbound_peers() -> None:
    settings = replace(PLAIN, addpeer=(PEER,))

    assert settings.permanent_peers == (PEER,)
    assert settings.outbound_target == 8


def test_without_inbound_peers_there_is_no_listener() -> None:
    assert replace(PLAIN, maxinpeers=0, listen=PRIVATE).listen_address is None


def test_nodnsseed_removes_all_seeders() -> None:
    assert replace(PLAIN, nodnsseed=True).seeders == ()


def test_each_network_has_its_own_directory() -> None:
    settings = replace(PLAIN, network=DEVNET)

    assert settings.directory == Path("/app/kaspa-devnet")
    assert settings.log_directory == Path("/app/kaspa-devnet/logs")
    assert replace(settings, logdir=Path("/logs")).log_directory == Path("/logs")
    assert replace(settings, nologfiles=True).log_directory is None


def test_connect_and_addpeer_are_mutually_exclusive() -> None:
    with pytest.raises(ValueError, match="connect and addpeer"):
        replace(PLAIN, connect=(PEER,), addpeer=(PEER,))


@pytest.mark.parametrize("name", ["outpeers", "maxinpeers"])
def test_negative_numbers_are_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} .*-1"):
        replace(PLAIN, **{name: -1})


def test_a_settings_error_is_a_value_error() -> None:
    assert issubclass(SettingsError, ValueError)


def test_the_inbound_proxies_are_those_given_and_loopback_for_an_onion_service() -> None:
    onion_service = replace(PROXIED, listen=NetAddress.parse("127.0.0.1:16111"))

    assert PLAIN.inbound_proxies == ()
    assert replace(PLAIN, inbound_proxy=(GATEWAY,)).inbound_proxies == (GATEWAY,)
    assert replace(PLAIN, listen=NetAddress.parse("127.0.0.1:16111")).inbound_proxies == ()
    assert replace(PROXIED, listen=PRIVATE).inbound_proxies == ()
    assert onion_service.inbound_proxies == (parse_network("127.0.0.0/8"), parse_network("::1"))
    assert replace(onion_service, inbound_proxy=(GATEWAY,)).inbound_proxies[0] == GATEWAY


def test_a_limit_per_address_must_be_positive() -> None:
    with pytest.raises(ValueError, match="maxinpeersperaddr must be positive: 0"):
        replace(PLAIN, maxinpeersperaddr=0)

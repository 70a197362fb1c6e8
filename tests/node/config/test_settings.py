from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ziggurat.node.address import NetAddress, parse_peer_address
from ziggurat.node.config.network_proxy import parse_network_proxy, parse_onion_proxy
from ziggurat.node.config.networks import DEVNET, MAINNET
from ziggurat.node.config.proxy import parse_socks5_proxy
from ziggurat.node.config.settings import Settings, SettingsError
from ziggurat.node.config.tor import OnionBind
from ziggurat.node.ip_network import parse_network
from ziggurat.services import Uri

PLAIN = Settings(appdir=Path("/app"))
PROXIED = replace(PLAIN, proxy=parse_socks5_proxy("127.0.0.1"))
ROUTABLE = NetAddress.parse("9.9.9.9:16111")
PRIVATE = NetAddress.parse("10.0.0.1:16111")
EVERYWHERE = NetAddress.parse("0.0.0.0:16111")
PEER = parse_peer_address("192.0.2.1:16111")
GATEWAY = parse_network("172.17.0.1")


def advertised(settings: Settings) -> NetAddress | None:
    return settings.advertised_address(settings.listen_addresses)


def test_a_plain_node_listens_everywhere_and_dials_eight() -> None:
    assert PLAIN.listen_addresses == (EVERYWHERE,)
    assert (PLAIN.outbound_target, PLAIN.inbound_limit) == (8, 128)
    assert PLAIN.seeders == MAINNET.seeders
    assert advertised(PLAIN) is None


def test_with_a_proxy_there_is_no_listener_and_nothing_is_advertised() -> None:
    assert PROXIED.listen_addresses == ()
    assert advertised(PROXIED) is None
    assert PROXIED.inbound_limit == 0
    assert PROXIED.outbound_target == 8


def test_with_a_proxy_listen_or_externalip_adds_a_listener() -> None:
    assert replace(PROXIED, listen=(PRIVATE,)).listen_addresses == (PRIVATE,)
    assert replace(PROXIED, externalip=ROUTABLE).listen_addresses == (EVERYWHERE,)


def test_with_a_proxy_only_externalip_is_advertised() -> None:
    assert advertised(replace(PROXIED, listen=(ROUTABLE,))) is None
    assert advertised(replace(PROXIED, listen=(PRIVATE,), externalip=ROUTABLE)) == ROUTABLE


@pytest.mark.parametrize(
    ("listen", "external", "found"),
    [
        ([], ROUTABLE, ROUTABLE),
        ([ROUTABLE], None, ROUTABLE),
        ([PRIVATE], None, None),
        ([PRIVATE, ROUTABLE], None, ROUTABLE),
        ([ROUTABLE], PRIVATE, ROUTABLE),
        ([NetAddress.parse("9.9.9.9:0")], None, None),
    ],
)
def test_only_a_routable_address_is_advertised(
    listen: list[NetAddress], external: NetAddress | None, found: NetAddress | None
) -> None:
    assert advertised(replace(PLAIN, listen=tuple(listen), externalip=external)) == found


@pytest.mark.parametrize(
    ("listening", "external", "port"),
    [
        ("0.0.0.0:7", "9.9.9.9", 7),
        ("[::]:7", "9.9.9.9", 7),
        ("[::1]:8 0.0.0.0:7", "9.9.9.9", 7),
        ("0.0.0.0:7 [::]:8", "2600::1", 8),
        ("0.0.0.0:7 10.0.0.1:9", "2600::1", 7),
    ],
)
def test_an_externalip_without_a_port_has_that_of_the_listener(listening: str, external: str, port: int) -> None:
    settings = replace(PLAIN, externalip=NetAddress.parse(external, 0))
    found = settings.advertised_address([NetAddress.parse(text) for text in listening.split()])
    assert found == NetAddress.parse(external, port)


def test_an_address_listened_on_twice_is_listened_on_once() -> None:
    assert replace(PLAIN, listen=(PRIVATE, ROUTABLE, PRIVATE)).listen_addresses == (PRIVATE, ROUTABLE)


@pytest.mark.parametrize(
    ("external", "found"),
    [
        (PRIVATE, PRIVATE),
        (NetAddress.parse("10.0.0.1:0"), NetAddress.parse("10.0.0.1:16611")),
        (NetAddress.parse("127.0.0.1:16611"), None),
        (NetAddress.parse("0.0.0.0:16611"), None),
    ],
)
def test_on_a_private_network_a_private_externalip_is_advertised(
    external: NetAddress, found: NetAddress | None
) -> None:
    settings = replace(PLAIN, network=DEVNET, externalip=external)

    assert advertised(settings) == found
    assert advertised(replace(PLAIN, network=DEVNET, listen=(PRIVATE,))) is None


def test_connect_means_only_these_peers() -> None:
    settings = replace(PLAIN, connect=(PEER,), listen=(PRIVATE,), externalip=ROUTABLE)

    assert settings.permanent_peers == (PEER,)
    assert (settings.outbound_target, settings.inbound_limit) == (0, 0)
    assert settings.listen_addresses == ()
    assert advertised(settings) is None
    assert settings.seeders == ()


def test_addpeer_adds_to_the_other_outbound_peers() -> None:
    settings = replace(PLAIN, addpeer=(PEER,))

    assert settings.permanent_peers == (PEER,)
    assert settings.outbound_target == 8


def test_without_inbound_peers_there_is_no_listener() -> None:
    assert replace(PLAIN, maxinpeers=0, listen=(PRIVATE,)).listen_addresses == ()


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
    onion_service = replace(PROXIED, listen=(NetAddress.parse("127.0.0.1:16111"),))

    assert PLAIN.inbound_proxies == ()
    assert replace(PLAIN, inbound_proxy=(GATEWAY,)).inbound_proxies == (GATEWAY,)
    assert replace(PLAIN, listen=(NetAddress.parse("127.0.0.1:16111"),)).inbound_proxies == ()
    assert replace(PROXIED, listen=(PRIVATE,)).inbound_proxies == ()
    assert onion_service.inbound_proxies == (parse_network("127.0.0.0/8"), parse_network("::1"))
    assert (
        replace(onion_service, listen=(PRIVATE, *onion_service.listen)).inbound_proxies == onion_service.inbound_proxies
    )
    assert replace(onion_service, inbound_proxy=(GATEWAY,)).inbound_proxies[0] == GATEWAY


def test_a_limit_per_address_must_be_positive() -> None:
    with pytest.raises(ValueError, match="maxinpeersperaddr must be positive: 0"):
        replace(PLAIN, maxinpeersperaddr=0)


CONTROL = Uri("tcp", "127.0.0.1", 9051)
WITH_TOR = replace(PLAIN, tor_control=CONTROL)


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        (PLAIN, False),
        (WITH_TOR, True),
        (replace(WITH_TOR, proxy=parse_socks5_proxy("127.0.0.1")), False),
        (replace(WITH_TOR, onion=parse_onion_proxy("127.0.0.1")), False),
        (replace(WITH_TOR, onion=parse_onion_proxy("0")), True),
        (replace(WITH_TOR, proxy_net=(parse_network_proxy("onion=127.0.0.1"),)), False),
        (replace(WITH_TOR, proxy_net=(parse_network_proxy("ipv4=127.0.0.1"),)), True),
        (replace(WITH_TOR, socks_from_tor=False), False),
    ],
)
def test_tor_is_asked_for_its_proxy_where_none_is_given_that_could_be_it(settings: Settings, asks: bool) -> None:
    assert settings.asks_tor == settings.ways.awaited == asks


def test_a_node_that_will_have_a_proxy_listens_on_nothing_that_it_was_not_told() -> None:
    assert WITH_TOR.listen_addresses == ()
    assert WITH_TOR.inbound_limit == 0
    assert replace(WITH_TOR, listen_onion=True).inbound_limit == 128


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (WITH_TOR, None),
        (replace(WITH_TOR, listen_onion=True), NetAddress.parse("127.0.0.1:16112")),
        (replace(WITH_TOR, listen_onion=True, network=DEVNET), NetAddress.parse("127.0.0.1:16612")),
        (
            replace(WITH_TOR, listen_onion=True, listen=(NetAddress.parse("127.0.0.1:5"),)),
            NetAddress.parse("127.0.0.1:6"),
        ),
        (
            replace(WITH_TOR, listen_onion=True, listen=(NetAddress.parse("127.0.0.1:0"),)),
            NetAddress.parse("127.0.0.1:0"),
        ),
        (replace(WITH_TOR, listen_onion=True, onion_bind=Path("/run/p2p")), Path("/run/p2p")),
    ],
)
def test_where_tor_hands_over_what_comes_in_by_the_onion_service(settings: Settings, where: OnionBind | None) -> None:
    assert settings.onion_listener == where


def test_the_onion_key_is_beside_the_address_book() -> None:
    assert PLAIN.onion_key == Path("/app/kaspa-mainnet/onion_key")
    assert replace(PLAIN, tor_onion_key=Path("/k")).onion_key == Path("/k")


def test_tors_settings_that_cannot_work_together_are_an_error() -> None:
    with pytest.raises(ValueError, match="listen-onion needs tor-control"):
        replace(PLAIN, listen_onion=True)
    with pytest.raises(ValueError, match="needs inbound peers"):
        replace(WITH_TOR, listen_onion=True, maxinpeers=0)

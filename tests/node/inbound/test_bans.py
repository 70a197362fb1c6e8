from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ziggurat.node.address import NamedAddress, NetAddress
from ziggurat.node.handshake.handshake import Rules
from ziggurat.node.inbound import bans as module
from ziggurat.node.inbound.ban import Ban
from ziggurat.node.inbound.bans import BanList
from ziggurat.node.ip_network import IpNetwork, parse_network
from ziggurat.node.peer.info import PROXIED, Direction, PeerInfo

pytestmark = pytest.mark.asyncio_only

HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


def at(ip: str) -> NetAddress:
    return NetAddress.parse(ip, 16111)


def banned(bans: BanList, ip: str) -> str | None:
    ban = bans.of_address(at(ip))
    return None if ban is None else str(ban)


def peer(ip: str, user_agent: str = "/x/", direction: Direction = "inbound", via: str | None = None) -> PeerInfo:
    return PeerInfo(b"i" * 16, at(ip), direction, via, user_agent, 11, "kaspa-devnet", 0, 0.0)


async def test_a_banned_address_is_found_whatever_its_port_and_form() -> None:
    bans = BanList()
    await bans.ban("192.0.2.7")
    await bans.ban("2001:db8::7")

    for ip in ("192.0.2.7", "::ffff:192.0.2.7", "[2001:DB8:0::7]", "192.0.2.7:5"):
        assert banned(bans, ip)
    assert banned(bans, "192.0.2.8") is None
    assert bans.of_address(NamedAddress("node.example", 1)) is None


async def test_a_link_local_address_is_found_on_every_interface() -> None:
    bans = BanList()
    await bans.ban("fe80::1")

    assert banned(bans, "[fe80::1%eth0]")
    assert banned(bans, "[fe80::1%v0]")
    assert banned(bans, "[fe80::2%eth0]") is None


async def test_a_network_has_its_addresses_and_no_others() -> None:
    bans = BanList()
    await bans.ban("192.0.2.0/25")

    assert [banned(bans, ip) for ip in ("192.0.2.0", "192.0.2.127", "192.0.2.128", "::c000:201")] == [
        *("192.0.2.0/25", "192.0.2.0/25"),
        *(None, None),
    ]


NETWORKS = st.builds(
    ip_network, st.tuples(st.integers(0, 255).map(lambda n: n << 24), st.integers(0, 32)), st.just(False)
) | st.builds(ip_network, st.tuples(st.integers(1, 255).map(lambda n: n << 120), st.integers(0, 128)), st.just(False))


@given(st.lists(NETWORKS, max_size=8), NETWORKS)
def test_an_address_is_banned_if_and_only_if_a_network_contains_it(
    networks: list[IpNetwork], somewhere: IpNetwork
) -> None:
    bans = BanList(networks)
    for ip in (somewhere.network_address, somewhere.broadcast_address):
        assert (bans.of_address(NetAddress(ip, 1)) is not None) is any(ip in network for network in networks)


async def test_all_of_ipv4_can_be_banned_without_ipv6() -> None:
    bans = BanList()
    await bans.ban("0.0.0.0/0")

    assert banned(bans, "8.8.8.8")
    assert banned(bans, "::ffff:8.8.8.8")
    assert banned(bans, "2001:db8::1") is None


async def test_a_ban_ends_after_a_day_by_default() -> None:
    bans = BanList(clock=(clock := Clock()))
    await bans.ban("192.0.2.7")
    clock.now += 24 * HOUR - 1
    assert banned(bans, "192.0.2.7")
    clock.now += 1
    assert banned(bans, "192.0.2.7") is None
    assert bans.bans() == []


async def test_a_second_ban_extends_the_first_and_never_shortens_it() -> None:
    bans = BanList(clock=(clock := Clock()))
    assert (await bans.ban("192.0.2.7", HOUR)).until == clock.now + HOUR
    assert (await bans.ban("192.0.2.7", 2 * HOUR)).until == clock.now + 2 * HOUR
    assert (await bans.ban("192.0.2.7", 1.0)).until == clock.now + 2 * HOUR
    assert (await bans.ban("192.0.2.7", None)).until is None
    assert (await bans.ban("192.0.2.7", HOUR)).until is None
    assert len(bans.bans()) == 1


async def test_a_narrow_ban_outlives_a_wide_one_and_the_reverse() -> None:
    bans = BanList(clock=(clock := Clock()))
    await bans.ban("10.0.0.0/8", HOUR)
    await bans.ban("10.1.0.0/16", 2 * HOUR)
    await bans.ban("10.2.0.0/16", 60.0)
    clock.now += 61.0
    assert banned(bans, "10.2.0.1") == "10.0.0.0/8"
    clock.now += HOUR
    assert [banned(bans, ip) for ip in ("10.1.0.1", "10.3.0.1")] == ["10.1.0.0/16", None]


async def test_unban_lifts_exactly_what_was_banned_and_overlapping_says_what_else_there_is() -> None:
    bans = BanList()
    await bans.ban("10.0.0.0/8")
    await bans.ban("10.1.2.3")
    await bans.ban("agent:*x*")

    assert not await bans.unban("10.1.2.4")
    assert not await bans.unban("0.0.0.0/0")
    assert await bans.unban("10.1.2.3")
    assert banned(bans, "10.1.2.3") == "10.0.0.0/8"
    for inside in ("10.1.2.3", "10.1.0.0/16", "0.0.0.0/0"):
        assert list(map(str, bans.overlapping(parse_network(inside)))) == ["10.0.0.0/8"]
    assert bans.overlapping(parse_network("::/0")) == []
    assert await bans.unban("agent:*X*")


async def test_a_ban_of_the_settings_stays() -> None:
    bans = BanList([parse_network("192.0.2.7")])
    assert not await bans.unban("192.0.2.7")
    await bans.ban("192.0.2.7", HOUR)
    assert await bans.unban("192.0.2.7")
    assert banned(bans, "192.0.2.7")
    assert bans.bans() == [Ban(parse_network("192.0.2.7"), by_settings=True)]


async def test_the_operators_peers_are_exempt_from_wide_bans_and_a_ban_of_themselves_is_refused() -> None:
    bans = BanList(exempt=[at("192.0.2.7"), NamedAddress("node.example", 1)])
    await bans.ban("192.0.2.0/24")
    await bans.ban("agent:*x*")

    assert banned(bans, "192.0.2.7") is None
    assert bans.of_peer(peer("192.0.2.7", "/x/", "outbound")) is None
    assert bans.of_user_agent("/x/", NamedAddress("node.example", 1)) is None
    assert bans.of_user_agent("/x/", NamedAddress("other.example", 1)) is not None
    assert bans.exempt_in(parse_network("192.0.2.0/24")) == ["192.0.2.7"]
    with pytest.raises(ValueError, match=r"192\.0\.2\.7 is a peer of --addpeer or --connect"):
        await bans.ban("::ffff:192.0.2.7")


async def test_a_ban_of_an_inbound_proxy_is_refused_and_a_wider_one_spares_the_peers_behind_it() -> None:
    bans = BanList(proxies=[parse_network("172.17.0.0/16")])
    with pytest.raises(ValueError, match=r"172\.17\.0\.1 is an inbound proxy.*ban their user agent"):
        await bans.ban("172.17.0.1")
    await bans.ban("172.16.0.0/12")

    assert bans.of_peer(peer("172.17.0.1", via=PROXIED)) is None
    assert bans.of_peer(peer("172.18.0.1")) is not None
    assert bans.proxies_in(parse_network("172.16.0.0/12")) == ["172.17.0.0/16"]


async def test_a_peer_behind_a_proxy_is_banned_by_its_user_agent() -> None:
    bans = BanList(exempt=[at("127.0.0.1")], proxies=[parse_network("127.0.0.0/8")])
    await bans.ban("agent:*bad*")

    assert bans.of_peer(peer("127.0.0.1", "/Bad:1/", via=PROXIED)) is not None
    assert bans.of_peer(peer("127.0.0.1", "/good:1/", via=PROXIED)) is None


async def test_a_peer_dialled_through_a_proxy_is_judged_by_its_own_address() -> None:
    bans = BanList()
    await bans.ban("192.0.2.7")
    assert bans.of_peer(peer("192.0.2.7", direction="outbound", via="127.0.0.1:9050")) is not None
    await bans.ban("127.0.0.1")
    assert bans.of_peer(peer("192.0.2.8", direction="outbound", via="127.0.0.1:9050")) is None


async def test_the_rules_refuse_what_is_banned_beside_what_they_refused_before() -> None:
    bans = BanList()
    before = Rules(is_banned=lambda id: id == b"1", refuses_user_agent=lambda text: text == "/no/")
    rules = bans.rules(at("192.0.2.7"), before)

    assert [rules.is_banned(b"1"), rules.is_banned(b"2")] == [True, False]
    assert [rules.refuses_user_agent("/no/"), rules.refuses_user_agent("/bad/")] == [True, False]
    await bans.ban("192.0.2.7")
    await bans.ban("agent:/bad/")
    assert rules.is_banned(b"2")
    assert rules.refuses_user_agent("/bad/")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e12])
async def test_a_duration_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="a ban lasts up to 100 years"):
        await BanList().ban("192.0.2.7", seconds)


async def test_the_list_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BANS", 2)
    bans = BanList(clock=(clock := Clock()))
    await bans.ban("192.0.2.1", HOUR)
    await bans.ban("192.0.2.2")
    await bans.ban("192.0.2.2")
    with pytest.raises(ValueError, match="the list is full: it has 2 bans"):
        await bans.ban("192.0.2.3")
    clock.now += HOUR
    await bans.ban("192.0.2.3")


async def test_watchers_are_called_after_each_ban() -> None:
    bans = BanList()
    seen: list[tuple[str, str | None]] = []
    bans.watchers.add(lambda ban: seen.append((str(ban), banned(bans, "192.0.2.1"))))
    await bans.ban("192.0.2.0/24")

    assert seen == [("192.0.2.0/24", "192.0.2.0/24")]


@pytest.mark.real_io
async def test_bans_survive_a_restart_and_end_while_no_node_runs(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "bans.json"
    bans = BanList([parse_network("10.0.0.0/8")], path=path, clock=clock)
    await bans.ban("192.0.2.1", HOUR)
    await bans.ban("192.0.2.2", 2 * HOUR)
    await bans.ban("192.0.2.3", None)
    await bans.ban("192.0.2.4", None)
    await bans.unban("192.0.2.4")
    clock.now += HOUR
    with capture_logs() as logs:
        again = BanList(path=path, clock=clock).load()

    assert list(map(str, again.bans())) == ["192.0.2.2", "192.0.2.3"]
    assert banned(again, "192.0.2.2") == "192.0.2.2"
    assert [(log["event"], log["count"]) for log in logs] == [("bans.loaded", 2)]


@pytest.mark.real_io
async def test_a_damaged_file_is_set_aside_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "bans.json"
    path.write_text("{")
    with capture_logs() as logs:
        bans = BanList(path=path).load()
    await bans.ban("192.0.2.1")

    assert [(log["event"], log["moved_to"]) for log in logs] == [("bans.set_aside", f"{path}.damaged-1")]
    assert list(map(str, BanList(path=path).load().bans())) == ["192.0.2.1"]


@pytest.mark.real_io
async def test_a_ban_that_cannot_be_stored_is_in_force_and_raises(tmp_path: Path) -> None:
    bans = BanList(path=tmp_path / "missing" / "bans.json")
    with pytest.raises(FileNotFoundError):
        await bans.ban("192.0.2.1")
    assert banned(bans, "192.0.2.1")


@pytest.mark.real_io
async def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        BanList(path=tmp_path).load()

"""One line when it begins, one when it ends, and one dial per interval in between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import anyio
import pytest
import structlog
from structlog.testing import capture_logs

from ziggurat.node.address import NamedAddress, NetAddress
from ziggurat.node.outbound.outage import FIRST_RETRY, LAST_RETRY, Outage, Outages
from ziggurat.services import ConnectRefused

pytestmark = pytest.mark.asyncio_only

ERROR = ConnectRefused("connection refused", hint="is Tor running?")


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    structlog.configure()
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]


async def test_it_is_told_once_with_what_failed_and_how_long_it_took(logs: list[dict[str, object]]) -> None:
    outage = Outages(lambda _: "proxy:9050").of(NamedAddress("peer.example", 1))
    assert outage.permits()
    for _ in range(8):
        outage.report_failure(ERROR)
    await anyio.sleep(100)
    assert outage.report_success()
    assert not outage.report_success()
    assert [(entry["event"], entry["log_level"], entry["via"]) for entry in logs] == [
        ("proxy.down", "warning", "proxy:9050"),
        ("proxy.up", "info", "proxy:9050"),
    ]
    assert logs[0]["error"] == "ConnectRefused: connection refused; is Tor running?"
    assert logs[1]["elapsed"] == 100.0


async def test_one_dial_goes_through_per_interval_which_grows() -> None:
    outage = Outage(lambda *_: None, lambda _: None)
    outage.report_failure(ERROR)
    times = []
    started = anyio.current_time()
    while anyio.current_time() - started < 200:
        if outage.permits():
            times.append(anyio.current_time() - started)
            assert not outage.permits()
            outage.report_failure(ERROR)
        await anyio.sleep(1)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] == pytest.approx(FIRST_RETRY, abs=1)
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(LAST_RETRY, abs=1)


async def test_its_end_wakes_everybody_who_waits_for_it() -> None:
    outage = Outage(lambda *_: None, lambda _: None)
    await outage.wait()  # there is nothing to wait for
    outage.report_failure(ERROR)
    woken = []

    async def waiter() -> None:
        await outage.wait()
        woken.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        started = anyio.current_time()
        for _ in range(3):
            tasks.start_soon(waiter)
        await anyio.sleep(1)
        outage.report_success()
    assert woken == [started + 1] * 3


async def test_each_network_has_its_own_and_a_name_counts_as_ipv4(logs: list[dict[str, object]]) -> None:
    outages = Outages(lambda _: None)
    four, six = NetAddress.parse("192.0.2.1:1"), NetAddress.parse("[2001:db8::1]:1")
    assert not outages.are_total
    outages.of(six).report_failure(ERROR)
    assert outages.are_total  # of what was tried
    assert outages.of(four).permits()
    assert outages.of(NamedAddress("peer.example", 1)) is outages.of(four)
    assert not outages.are_total
    assert outages.until_retry == FIRST_RETRY
    outages.of(six).report_success()
    assert outages.until_retry == float("inf")
    assert [(entry["event"], entry["network"]) for entry in logs] == [
        ("network.unreachable", "ipv6"),
        ("network.reachable", "ipv6"),
    ]


async def test_through_a_proxy_everything_depends_on_it() -> None:
    outages = Outages(lambda _: "proxy:9050")
    assert outages.of(NetAddress.parse("192.0.2.1:1")) is outages.of(NetAddress.parse("[2001:db8::1]:1"))


async def test_a_proxy_that_is_away_stops_only_what_goes_through_it(logs: list[dict[str, object]]) -> None:
    """The proxy of one network says nothing of another one's, nor of direct dials."""
    four, six = NetAddress.parse("192.0.2.1:1"), NetAddress.parse("[2001:db8::1]:1")
    outages = Outages(lambda address: "proxy:9050" if address == six else None)
    outages.of(six).report_failure(ERROR)
    assert not outages.of(six).permits()
    assert outages.of(four).permits()
    assert not outages.are_total
    assert [(entry["event"], entry.get("via")) for entry in logs] == [("proxy.down", "proxy:9050")]


async def test_who_knows_that_the_proxies_work_ends_their_outages_and_no_others(logs: list[dict[str, object]]) -> None:
    name, address = NamedAddress("peer.example", 1), NetAddress.parse("192.0.2.1:1")
    outages = Outages(lambda each: "proxy:9050" if each == name else None)
    for each in (name, address):
        outages.of(each).report_failure(ERROR)
    outages.end_of_proxies()

    assert (outages.of(name).active, outages.of(address).active) == (False, True)
    assert logs[-1]["event"] == "proxy.up"

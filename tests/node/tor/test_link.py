from __future__ import annotations

import anyio
import pytest

from tests.node.tor.control_port import SERVICE, ControlPort
from tests.node.tor.links import ONION, running, shown
from ziggurat.node.address import OnionNetAddress
from ziggurat.node.tor import Circuit, Relay, TorError
from ziggurat.services import Uri

pytestmark = pytest.mark.asyncio_only


async def test_a_tor_that_is_ready() -> None:
    async with running(ControlPort()) as (link, logs):
        await link.wait_up()

        assert link.socks is None
    assert shown(logs) == ["tor.bootstrap", "tor.up"]
    assert logs[1]["version"] == "0.4.9.11"


async def test_the_start_is_followed_and_nothing_is_ready_before_its_end() -> None:
    port = ControlPort(phase='NOTICE BOOTSTRAP PROGRESS=10 TAG=conn SUMMARY="Connecting"', listeners="")
    told = list[Uri]()
    async with running(port, take_socks=told.append) as (link, logs):
        await port.bootstrap(90, "circuit_create")
        await anyio.sleep(300)
        assert not link.status.is_up
        port.listeners = '"127.0.0.1:9050"'  # Tor opens it late
        await port.bootstrap(100, "done")
        await link.wait_up()

        assert told == [link.socks] == [Uri("socks5", "127.0.0.1", 9050)]
    assert [each["progress"] for each in logs[:3]] == [10, 90, 100]
    assert shown(logs) == ["tor.bootstrap"] * 3 + ["tor.up"]


async def test_events_are_ordered_before_the_phase_is_asked_for() -> None:
    """Otherwise the last step may pass between the two, and nothing ever comes."""
    port = ControlPort()
    async with running(port):
        pass

    asked = [command for command in port.commands if command.startswith(("SETEVENTS", "GETINFO"))]
    assert asked[-1] == "GETINFO status/bootstrap-phase"
    assert "STATUS_CLIENT" in asked[0]


async def test_a_tor_that_is_absent_is_waited_for_and_said_once() -> None:
    port = ControlPort(away=True)
    async with running(port) as (link, logs):
        await anyio.sleep(600)
        assert shown(logs) == ["tor.down"]
        port.away = False
        await link.wait_up()

    assert shown(logs) == ["tor.down", "tor.bootstrap", "tor.up"]
    assert logs[-1]["elapsed"] >= 600


async def test_the_attempts_get_rarer() -> None:
    port = ControlPort(refuses={"PROTOCOLINFO": "515 no"})
    async with running(port):
        await anyio.sleep(3600)

    assert 60 <= port.connections < 90


async def test_a_tor_that_was_killed_comes_back() -> None:
    port = ControlPort()
    async with running(port) as (link, logs):
        port.away = True
        await port.drop()
        assert not link.status.is_up
        port.away = False
        await link.wait_up()

    assert shown(logs) == ["tor.bootstrap", "tor.up", "tor.down", "tor.bootstrap", "tor.up"]
    assert logs[2]["error"] == "Tor closed the control connection"


async def test_a_tor_that_lost_its_circuits_is_down_until_it_has_some() -> None:
    port = ControlPort()
    async with running(port) as (link, logs):
        await port.event("STATUS_CLIENT NOTICE CIRCUIT_NOT_ESTABLISHED REASON=CLOCK_JUMPED")
        assert not link.status.is_up
        await port.event("STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED")
        assert link.status.is_up

    assert shown(logs) == ["tor.bootstrap", "tor.up", "tor.down", "tor.up"]
    assert port.connections == 1


async def test_a_tor_that_has_no_circuits_is_asked_all_the_same() -> None:
    """ricochet-im/ricochet#245: it builds none before it is asked, so to wait for one would be to wait for ever."""
    port = ControlPort()
    async with running(port) as (link, _):
        await port.event("STATUS_CLIENT NOTICE CIRCUIT_NOT_ESTABLISHED REASON=CLOCK_JUMPED")
        with anyio.fail_after(31):
            await link.wait_up()

        assert not link.status.is_up


async def test_a_tor_that_sleeps_from_its_start_on_is_asked_all_the_same() -> None:
    """``DormantOnFirstStartup``, or a restart after a day without use. Its SOCKS port is there, and so is known."""
    port = ControlPort(phase='NOTICE BOOTSTRAP PROGRESS=0 TAG=starting SUMMARY="Starting"')
    told = list[Uri]()
    async with running(port, take_socks=told.append) as (link, _):
        with anyio.fail_after(31):
            await link.wait_up()

        assert told == [Uri("socks5", "127.0.0.1", 9050)]
        assert not link.status.is_up


async def test_a_tor_whose_machine_was_switched_off_is_noticed() -> None:
    """lightningnetwork/lnd#5166, meejah/txtorcon#327: no packet says that it is gone, and the service with it."""
    port = ControlPort()
    async with running(port) as (link, logs):
        link.onion.publish(ONION)
        await anyio.wait_all_tasks_blocked()
        await port.upload_all()
        port.silent = frozenset({"GETINFO"})
        await anyio.sleep(125)
        assert (link.status.is_up, link.onion.name) == (False, None)
        port.silent = frozenset()
        await anyio.sleep(20)
        await port.upload_all()

        assert link.onion.name == f"{SERVICE}.onion"
    assert [each["error"] for each in logs if each["event"] == "tor.down" and each["log_level"] == "warning"] == [
        "Tor's control port does not answer within 60 s"
    ]


async def test_a_service_that_tor_took_without_saying_so_is_published_on_a_new_connection() -> None:
    """TryQuiet/quiet#3594: on the same one, each try would end in an onion address collision, for ever."""
    port = ControlPort(silent=frozenset({"ADD_ONION"}))
    async with running(port) as (link, _):
        link.onion.publish(ONION)
        await anyio.sleep(11)
        port.silent = frozenset()
        await anyio.sleep(5)
        await port.upload_all()

        assert link.onion.name == f"{SERVICE}.onion"
    assert port.connections == 2


async def test_a_service_under_a_name_that_is_none_does_not_end_the_node() -> None:
    """bitcoin/bitcoin#36142."""
    port = ControlPort(refuses={"ADD_ONION": "250-ServiceID=nonsense\r\n250 OK"})
    async with running(port) as (link, logs):
        link.onion.publish(ONION, OnionNetAddress.parse)
        await anyio.sleep(60)

        assert link.onion.name is None
    assert "under a name that is none" in next(each["error"] for each in logs if each["event"] == "tor.down")


async def test_the_flags_of_the_socks_ports_are_asked_for_and_can_be_refused() -> None:
    listeners, settings = '"127.0.0.1:9050" "127.0.0.1:9150"', ("9050 OnionTrafficOnly", "9150")
    async with running(ControlPort(listeners=listeners, socks_ports=settings), take_socks=print) as (link, _):
        assert link.socks == Uri("socks5", "127.0.0.1", 9150)
    filtered = ControlPort(listeners=listeners, refuses={"GETCONF": "510 Command filtered"})
    async with running(filtered, take_socks=print) as (link, _):
        assert (link.socks, link.status.is_up) == (Uri("socks5", "127.0.0.1", 9050), True)


async def test_a_tor_without_a_socks_port_is_not_up() -> None:
    port = ControlPort(listeners="")
    async with running(port, take_socks=print) as (link, logs):
        await anyio.sleep(600)

        assert not link.status.is_up
    assert shown(logs) == ["tor.bootstrap", "tor.down"]
    assert "give --socks5-proxy" in logs[1]["error"]


async def test_a_lost_service_is_withdrawn_and_published_again_with_the_same_key() -> None:
    port = ControlPort()
    async with running(port) as (link, logs):
        link.onion.publish(ONION)
        await anyio.wait_all_tasks_blocked()
        await port.upload_all()
        await port.drop()
        assert link.onion.name is None
        await link.wait_up()
        await anyio.wait_all_tasks_blocked()
        await port.upload_all()

        assert link.onion.name == f"{SERVICE}.onion"
    assert shown(logs)[3:] == [
        *("onion.published", "tor.down", "onion.withdrawn"),
        *("tor.bootstrap", "tor.up", "onion.publishing", "onion.published"),
    ]
    commands = [command for command in port.commands if command.startswith("ADD_ONION")]
    assert commands == [f"ADD_ONION {ONION.key} Flags=DiscardPK Port=16111,127.0.0.1:16112"] * 2


async def test_nothing_is_sent_but_questions_and_the_service() -> None:
    port = ControlPort()
    async with running(port, take_socks=print) as (link, _):
        link.onion.publish(ONION)
        await anyio.wait_all_tasks_blocked()

    words = {command.split()[0] for command in port.commands}
    assert words == {"PROTOCOLINFO", "AUTHENTICATE", "SETEVENTS", "GETINFO", "GETCONF", "ADD_ONION"}


async def test_a_restarted_tor_is_not_up_before_it_has_told_its_new_socks_port() -> None:
    """It says that it has circuits as soon as its start is done: the port is still that of its former life."""
    port, told = ControlPort(), list[Uri]()
    async with running(port, take_socks=told.append) as (link, logs):
        port.phase = 'NOTICE BOOTSTRAP PROGRESS=90 TAG=circuit SUMMARY="Circuit"'
        port.listeners = '"127.0.0.1:9999"'
        await port.drop()
        await anyio.sleep(5)
        assert port.far is not None
        await port.far.send(
            b'650 STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done"\r\n'
            b"650 STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED\r\n"
        )
        await link.wait_up()
        await anyio.wait_all_tasks_blocked()

    assert [each["via"] for each in logs if each["event"] == "tor.up"] == ["127.0.0.1:9050", "127.0.0.1:9999"]
    assert [uri.port for uri in told] == [9050, 9999]


async def test_who_waits_for_the_onion_is_told_once_it_can_be_found_and_again_after_a_loss() -> None:
    port = ControlPort()
    told = list[str]()
    async with running(port) as (link, _), anyio.create_task_group() as tasks:

        async def wait() -> None:
            told.append(await link.onion.wait_published())

        tasks.start_soon(wait)
        link.onion.publish(ONION)
        await anyio.sleep(1)
        assert told == []
        await port.drop()  # before it is published
        await anyio.sleep(5)
        await port.upload_all()
        await anyio.sleep(1)
        assert told == [f"{SERVICE}.onion:16111"]
        await port.drop()
        await anyio.sleep(0.1)
        tasks.start_soon(wait)
        await anyio.sleep(5)
        assert len(told) == 1
        await port.upload_all()
        await anyio.sleep(1)
        assert told == [f"{SERVICE}.onion:16111"] * 2


# --- circuits ---------------------------------------------------------------------------------------------------------

GUARD = f"{7:040X}"


async def test_the_circuit_of_a_tunnel_is_found_by_its_source_port_and_described_by_tor() -> None:
    port = ControlPort(circuits=[f'3 BUILT ${GUARD}~guard SOCKS_USERNAME="S3CRET" SOCKS_PASSWORD="S3CRET"'])
    async with running(port) as (link, logs):
        await port.event("STREAM 17 NEW 0 h:80 SOURCE_ADDR=127.0.0.1:40000 PURPOSE=USER")
        await port.event('STREAM 17 SENTCONNECT 3 h:80 SOCKS_USERNAME="S3CRET"')

        assert link.connected
        assert link.streams.circuit_of(40000, "h:80") == "3"
        assert await link.circuits() == {"3": Circuit("3", (Relay(GUARD, "guard"),))}
    assert "S3CRET" not in repr(logs)


async def test_without_a_connection_there_are_no_circuits() -> None:
    async with running(ControlPort(away=True)) as (link, _):
        assert not link.connected
        with pytest.raises(TorError, match="no connection"):
            await link.circuits()


async def test_streams_survive_a_lost_connection_as_far_as_tor_still_has_them() -> None:
    port = ControlPort(streams=["17 SUCCEEDED 9 h:80"])
    async with running(port) as (link, _):
        for stream, source in ((17, 40000), (18, 40001)):
            await port.event(f"STREAM {stream} NEW 0 h:80 SOURCE_ADDR=127.0.0.1:{source} PURPOSE=USER")
            await port.event(f"STREAM {stream} SENTCONNECT 3 h:80")
        await port.drop()
        assert not link.connected
        await link.wait_up()

        assert link.streams.circuit_of(40000, "h:80") == "9"
        assert link.streams.circuit_of(40001, "h:80") is None


async def test_who_gives_up_on_the_circuits_does_not_disturb_the_next_command() -> None:
    """Its reply comes later, and must not be taken for the next one's."""
    port = ControlPort(circuits=["3 LAUNCHED"])
    async with running(port) as (link, _):
        await link.wait_up()
        port.silent = frozenset({"GETINFO"})
        with anyio.move_on_after(2) as gave_up:
            await link.circuits()
        assert gave_up.cancelled_caught
        assert port.far is not None
        await port.far.send(b"250+circuit-status=\r\n4 LAUNCHED\r\n.\r\n250 OK\r\n")
        port.silent = frozenset()

        assert await link.circuits() == {"3": Circuit("3", ())}
        assert port.connections == 1


async def test_a_tor_that_does_not_tell_its_circuits() -> None:
    port = ControlPort()
    async with running(port) as (link, _):
        port.refuses["GETINFO"] = "551 Internal error"
        with pytest.raises(TorError, match="does not tell its circuits"):
            await link.circuits()
        assert link.status.is_up

from __future__ import annotations

import logging
from pathlib import Path

import anyio
import pytest

from tests.node.tor.control_port import DESCRIPTORS, DIRECTORIES, SERVICE, ControlPort
from ziggurat.layers.testing import stream_pair
from ziggurat.node.tor import (
    Bootstrap,
    Circuits,
    ControlCredentials,
    DescriptorUpload,
    StreamChange,
    TorError,
    TorEvent,
)
from ziggurat.node.tor.aiostem_controller import open_controller

pytestmark = pytest.mark.asyncio_only


def cookie_file(folder: Path, content: bytes = b"c" * 32) -> Path:
    path = folder / "cookie"
    path.write_bytes(content)
    return path


def password_file(folder: Path, text: str = "secret\n") -> Path:
    path = folder / "password"
    path.write_text(text)
    return path


def sent(port: ControlPort, word: str) -> list[str]:
    return [command for command in port.commands if command.startswith(word)]


async def test_a_tor_that_asks_for_nothing_gets_nothing() -> None:
    port = ControlPort()
    async with port.open() as controller:
        assert controller.version == "0.4.9.11"

    assert sent(port, "AUTHENTICATE") == ["AUTHENTICATE"]


@pytest.mark.parametrize("text", ["secret", "secret\n", "secret\r\nanother line"])
async def test_a_password(text: str, tmp_path: Path) -> None:
    port = ControlPort("HASHEDPASSWORD")
    async with port.open(ControlCredentials(password_file(tmp_path, text))) as controller:
        assert controller.version == "0.4.9.11"


async def test_a_password_with_quotes_and_backslashes(tmp_path: Path) -> None:
    port = ControlPort("HASHEDPASSWORD", password='a "b" \\c é')
    async with port.open(ControlCredentials(password_file(tmp_path, port.password))) as controller:
        assert controller.version == "0.4.9.11"


async def test_a_wrong_password(tmp_path: Path) -> None:
    port = ControlPort("HASHEDPASSWORD")
    with pytest.raises(TorError, match="Tor refuses authentication: Authentication failed") as caught:
        async with port.open(ControlCredentials(password_file(tmp_path, "wrong"))):
            pass

    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("named", [True, False])
async def test_a_cookie_is_proved_and_not_sent(named: bool, tmp_path: Path) -> None:
    """Where the user names a file, Tor's word for it is not used."""
    path = cookie_file(tmp_path)
    port = ControlPort("COOKIE,SAFECOOKIE", cookie_file="/nowhere" if named else str(path))
    async with port.open(ControlCredentials(cookie=path if named else None)):
        pass

    assert len(sent(port, "AUTHCHALLENGE SAFECOOKIE")) == 1
    assert port.cookie.hex() not in " ".join(port.commands).lower()


async def test_who_does_not_know_the_cookie_gets_no_answer(tmp_path: Path) -> None:
    port = ControlPort("SAFECOOKIE", cookie=b"d" * 32)
    with pytest.raises(TorError, match="does not know Tor's cookie"):
        async with port.open(ControlCredentials(cookie=cookie_file(tmp_path))):
            pass

    assert sent(port, "AUTHENTICATE") == []


@pytest.mark.parametrize("methods", ["NULL", "COOKIE", "NULL,COOKIE"])
async def test_nothing_weaker_replaces_a_cookie_or_a_password(methods: str, tmp_path: Path) -> None:
    port = ControlPort(methods, cookie_file=str(cookie_file(tmp_path)))
    for credentials in (ControlCredentials(password_file(tmp_path)), ControlCredentials(cookie=cookie_file(tmp_path))):
        with pytest.raises(TorError, match="does not offer"):
            async with port.open(credentials):
                pass

    assert sent(port, "AUTH") == []


async def test_a_plain_cookie_is_never_used(tmp_path: Path) -> None:
    port = ControlPort("COOKIE", cookie_file=str(cookie_file(tmp_path)))
    with pytest.raises(TorError, match="Tor wants COOKIE"):
        async with port.open():
            pass

    assert sent(port, "AUTH") == []


async def test_a_value_is_asked_for() -> None:
    port = ControlPort()
    async with port.open() as controller:
        assert Bootstrap.parse(await controller.info("status/bootstrap-phase")).done
        with pytest.raises(TorError, match=r"Tor refuses GETINFO no/such: .* \(510\)"):
            await controller.info("no/such")


async def test_events_arrive_as_our_own() -> None:
    port, events = ControlPort(), list[TorEvent]()
    async with port.open() as controller:
        await controller.watch(events.append)
        await port.bootstrap(50, "loading_descriptors")
        await port.bootstrap(50, "loading_descriptors", ' WARNING="No route to host" REASON=NOROUTE COUNT=5')
        await port.event("STATUS_CLIENT NOTICE CIRCUIT_NOT_ESTABLISHED REASON=CLOCK_JUMPED")
        await port.event("STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED")
        await port.event("STATUS_CLIENT NOTICE ENOUGH_DIR_INFO")
        await port.upload("UPLOAD", 1, 1)
        await port.upload("FAILED", 1, more=" REASON=UPLOAD_REJECTED")

    descriptor = events[4].descriptor if isinstance(events[4], DescriptorUpload) else None
    assert descriptor is not None
    assert events == [
        Bootstrap(50, "loading_descriptors", "loading_descriptors"),
        Bootstrap(50, "loading_descriptors", "loading_descriptors", "No route to host"),
        Circuits("CLOCK_JUMPED"),
        Circuits(None),
        DescriptorUpload("UPLOAD", SERVICE, DIRECTORIES[1], descriptor),
        DescriptorUpload("FAILED", SERVICE, DIRECTORIES[1], None, "UPLOAD_REJECTED"),
    ]
    assert len(DESCRIPTORS) == 2


BAD_EVENTS = [
    "STREAM",
    'STREAM 7 A_NEW_STATUS -1 no-port SOCKS_USERNAME="S3CRET',
    "STREAM 7 \xff\xfe S3CRET",
    "STATUS_CLIENT",
    "STATUS_CLIENT A_NEW_LEVEL BOOTSTRAP PROGRESS=many",
    "STATUS_CLIENT NOTICE A_NEW_ACTION",
    "HS_DESC A_NEW_ACTION",
    f"HS_DESC UPLOAD {SERVICE}",
    "A_NEW_EVENT with=anything",
    "",
    "STREAM " + "x" * 150_000,
]


@pytest.mark.parametrize("text", BAD_EVENTS, ids=lambda text: repr(text[:30]))
async def test_an_event_that_cannot_be_read_costs_that_event_and_not_the_connection(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The library would log all of it, with the credentials of a stream."""
    port, events = ControlPort(), list[TorEvent]()
    async with port.open() as controller:
        await controller.watch(events.append)
        with caplog.at_level(logging.DEBUG):
            await port.event(text)
            await port.event("STREAM 7 NEW 0 h:80 SOURCE_ADDR=127.0.0.1:40000 PURPOSE=USER")
        assert "OK" not in await controller.info("status/bootstrap-phase")

    assert events[-1] == StreamChange("7", "NEW", None, "h:80", 40000)
    assert len(events) <= 2
    assert [record for record in caplog.records if record.name.startswith("aiostem")] == []


async def test_a_value_of_many_lines() -> None:
    port = ControlPort(circuits=["1 BUILT $A", "2 LAUNCHED"])
    async with port.open() as controller:
        assert await controller.info("circuit-status") == "1 BUILT $A\n2 LAUNCHED"
        assert await controller.info("stream-status") == ""


@pytest.mark.parametrize("target", ["127.0.0.1:16112", "unix:/run/p2p"])
async def test_an_onion_service_is_added_and_neither_detached_nor_its_key_asked_back(target: str) -> None:
    port = ControlPort()
    async with port.open() as controller:
        assert await controller.add_onion("ED25519-V3:key", 16111, target) == SERVICE

    assert sent(port, "ADD_ONION") == [f"ADD_ONION ED25519-V3:key Flags=DiscardPK Port=16111,{target}"]


async def test_a_refusal_does_not_show_the_key() -> None:
    port = ControlPort(refuses={"ADD_ONION": "550 Onion address collision"})
    async with port.open() as controller:
        with pytest.raises(TorError, match=r"^Tor refuses ADD_ONION: Onion address collision \(550\)$"):
            await controller.add_onion("ED25519-V3:key", 16111, "127.0.0.1:16112")


async def test_a_target_cannot_smuggle_a_command() -> None:
    port = ControlPort()
    async with port.open() as controller:
        with pytest.raises(TorError, match="cannot say"):
            await controller.add_onion("ED25519-V3:key", 16111, "unix:/tmp/x\r\nSIGNAL SHUTDOWN")

    assert sent(port, "SIGNAL") == []


async def test_a_lost_connection_is_noticed_and_fails_what_comes_later() -> None:
    port = ControlPort()
    async with port.open() as controller:
        await port.drop()
        await controller.wait_closed()
        with pytest.raises(TorError, match="the control connection failed"):
            await controller.info("status/bootstrap-phase")


async def test_a_tor_that_does_not_answer() -> None:
    with pytest.raises(TorError, match="does not answer within 10 s"):
        async with ControlPort(silent=frozenset({"PROTOCOLINFO"})).open():
            pass


async def test_after_a_reply_that_did_not_come_the_connection_is_given_up() -> None:
    """A late reply would be taken for that to the next command."""
    async with ControlPort(silent=frozenset({"ADD_ONION"})).open() as controller:
        with pytest.raises(TorError, match="does not answer within 10 s"):
            await controller.add_onion("ED25519-V3:key", 16111, "127.0.0.1:16112")
        with anyio.fail_after(1):
            await controller.wait_closed()


async def test_something_else_than_tor() -> None:
    near, far = stream_pair()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(far.send, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(TorError):
            async with open_controller(near, ControlCredentials()):
                pass

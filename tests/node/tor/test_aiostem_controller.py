from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio import BrokenResourceError, ClosedResourceError

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
    TorRefused,
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


async def test_a_cookie_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    """zcash/zcash#2210, lightningnetwork/lnd#6829, torproject/stem#57: Tor escapes it as C does."""
    folder = tmp_path / 'od d é"q'
    folder.mkdir()
    path = str(cookie_file(folder)).replace('"', '\\"').replace("é", r"\303\251")
    port = ControlPort("COOKIE,SAFECOOKIE", cookie_file=path)
    async with port.open():
        pass

    assert len(sent(port, "AUTHENTICATE")) == 1


async def test_the_cookie_of_a_restarted_tor_is_read_anew(tmp_path: Path) -> None:
    """WalletWasabi/WalletWasabi#7945: "Safe cookie response did not match expected value"."""
    port = ControlPort("SAFECOOKIE", cookie_file=str(cookie_file(tmp_path)))
    async with port.open():
        pass
    port.cookie = b"d" * 32
    cookie_file(tmp_path, port.cookie)
    async with port.open():
        pass

    assert port.connections == 2


async def test_a_method_that_nobody_knows_yet_is_no_obstacle() -> None:
    """control-spec 3.21: controllers ignore those."""
    port = ControlPort("LATER,NULL")
    async with port.open():
        pass

    assert sent(port, "AUTHENTICATE") == ["AUTHENTICATE"]


async def test_who_hangs_up_is_no_control_port() -> None:
    """dperson/torproxy#21, #37: a container's published port is open, whether or not Tor listens behind it."""
    near, far = stream_pair()

    async def hang_up() -> None:
        await far.receive()
        await anyio.aclose_forcefully(far)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang_up)
        with pytest.raises(TorError, match="hangs up: no control port of Tor, or not open to this machine"):
            async with open_controller(near, ControlCredentials()):
                pass


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("PROTOCOLINFO", r"^Tor refuses PROTOCOLINFO 1: Command filtered \(510\)$"),
        ("AUTHCHALLENGE", r"^Tor refuses AUTHCHALLENGE SAFECOOKIE: Command filtered \(510\)$"),
        ("SETEVENTS", r"^Tor refuses SETEVENTS STATUS_CLIENT HS_DESC: Command filtered \(510\)$"),
    ],
)
async def test_a_filter_before_tor_is_named_with_what_it_refuses(word: str, message: str, tmp_path: Path) -> None:
    """bisq-network/bisq2#2205, HelloZeroNet/ZeroNet#484: onion-grater, on Whonix and Tails."""
    methods = "SAFECOOKIE" if word == "AUTHCHALLENGE" else "NULL"
    port = ControlPort(methods, cookie_file=str(cookie_file(tmp_path)), refuses={word: "510 Command filtered"})
    with pytest.raises(TorRefused, match=message):
        async with port.open() as controller:
            await controller.watch(print)


async def test_a_filter_that_keeps_streams_back_costs_only_these() -> None:
    port = ControlPort(refuses={"SETEVENTS STATUS_CLIENT HS_DESC STREAM": "510 Command filtered"})
    async with port.open() as controller:
        await controller.watch(print)

    assert sent(port, "SETEVENTS")[-1] == "SETEVENTS STATUS_CLIENT HS_DESC"


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
        with pytest.raises(TorError, match=r"^Tor refuses ADD_ONION: Onion address collision \(550\); another program"):
            await controller.add_onion("ED25519-V3:key", 16111, "127.0.0.1:16112")


@pytest.mark.parametrize("name", ["", "short", "x" * 56, "../../../etc/passwd", "a" * 56 + "\\x00"])
async def test_a_service_under_a_name_that_is_none(name: str) -> None:
    """bitcoin/bitcoin#36142: what Tor says is checked before it goes anywhere."""
    port = ControlPort(refuses={"ADD_ONION": f"250-ServiceID={name}\r\n250 OK"})
    async with port.open() as controller:
        with pytest.raises(TorError, match="under a name that is none"):
            await controller.add_onion("ED25519-V3:key", 16111, "127.0.0.1:16112")


async def test_a_setting_is_asked_for_with_its_flags() -> None:
    port = ControlPort(socks_ports=("9050", r'"unix:\"/a \303\251\" WorldWritable"'))
    async with port.open() as controller:
        assert await controller.setting("SocksPort") == ["9050", 'unix:"/a é" WorldWritable']
        port.socks_ports = ()
        assert await controller.setting("SocksPort") == []


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


async def test_a_late_answer_is_not_taken_for_that_to_the_next_question() -> None:
    """TryQuiet/quiet#3594: a slow Tor takes the service, and later tries collide with it. So the connection ends."""
    port = ControlPort(silent=frozenset({"ADD_ONION"}))
    async with port.open() as controller:
        with pytest.raises(TorError, match="does not answer within 10 s") as caught:
            await controller.add_onion("ED25519-V3:key", 16111, "127.0.0.1:16112")
        assert not isinstance(caught.value, TorRefused)
        with anyio.fail_after(1):
            await controller.wait_closed()


@pytest.mark.parametrize("line", [b"250-x=" + b"y" * 5000, b"250-x=" + b"y" * 200_000, b"250+x=\r\n" + b"y" * 5000])
async def test_a_reply_without_an_end_is_not_collected_for_ever(line: bytes) -> None:
    """bitcoin/bitcoin#35087: a limit on lines alone leaves the number of them open."""
    port = ControlPort(silent=frozenset({"GETINFO"}))
    async with port.open() as controller, anyio.create_task_group() as tasks:
        far = port.far
        assert far is not None
        began = anyio.current_time()

        async def pour() -> None:
            with suppress(BrokenResourceError, ClosedResourceError):
                while True:
                    await far.send((line + b"\r\n") * 20)

        tasks.start_soon(pour)
        with pytest.raises(TorError, match="disconnected"):
            await controller.info("x")
        assert anyio.current_time() == began, "the limit on time has not ended it"
        tasks.cancel_scope.cancel()


async def test_what_is_not_ascii_is_shown_and_does_not_end_the_connection() -> None:
    port = ControlPort(refuses={"GETINFO": "551 caf\u00e9"})
    async with port.open() as controller:
        for _ in range(2):
            with pytest.raises(TorRefused, match=r"caf\\xc3\\xa9 \(551\)"):
                await controller.info("x")


async def test_many_long_replies_are_not_one() -> None:
    port = ControlPort(refuses={"GETINFO": "250-x=" + "y" * 90_000 + "\r\n250 OK"})
    async with port.open() as controller:
        for _ in range(60):
            assert len(await controller.info("x")) == 90_000


async def test_a_busy_tor_has_a_minute_to_say_that_it_is_there() -> None:
    port = ControlPort(silent=frozenset({"GETINFO"}))
    async with port.open() as controller:
        began = anyio.current_time()
        with pytest.raises(TorError, match="does not answer within 60 s"):
            await controller.check_alive()
        assert anyio.current_time() - began == 60


async def test_a_filter_that_answers_is_alive() -> None:
    port = ControlPort(refuses={"GETINFO": "510 Command filtered"})
    async with port.open() as controller:
        await controller.check_alive()


async def test_something_else_than_tor() -> None:
    near, far = stream_pair()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(far.send, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(TorError):
            async with open_controller(near, ControlCredentials()):
                pass

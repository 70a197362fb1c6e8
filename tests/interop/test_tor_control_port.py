"""The control port of a real Tor: authentication, its start, its death, and an onion service of ours."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.interop.programs import find
from tests.interop.proxies import through
from tests.interop.targets import BANNER, echo, read_exactly
from tests.interop.tor_network import TorNetwork
from ziggurat.layers import Isolated
from ziggurat.node.tor import (
    ControlCredentials,
    Controller,
    OnionService,
    TorError,
    TorLink,
    controller_opener,
    make_onion_key,
)
from ziggurat.node.tor import onion_key as onion_key_module
from ziggurat.node.tor.socks_port import choose_socks_port
from ziggurat.services import OnionAddress, SocketConnector, TcpConnector, Uri

pytestmark = [pytest.mark.real_io, pytest.mark.asyncio_only]

CLIENT = "SocksPort {address}:9050 ExtendedErrors\n"
COOKIE = "CookieAuthentication 1\n"
LIMIT = 60.0


def opener(
    control: Uri, credentials: ControlCredentials | None = None
) -> Callable[[], AbstractAsyncContextManager[Controller]]:
    return controller_opener(control, credentials or ControlCredentials(), SocketConnector())


def unix(folder: Path) -> Uri:
    return Uri("unix", path=str(folder / "control"))


@asynccontextmanager
async def following(link: TorLink) -> AsyncGenerator[list[EventDict], None]:
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            yield logs
            tasks.cancel_scope.cancel()


async def until(logs: list[EventDict], *events: str) -> None:
    """Wait until the log has these events, in this order; others may come between."""
    with anyio.fail_after(LIMIT):
        while True:
            names = iter([each["event"] for each in logs])
            if all(event in names for event in events):
                return
            await anyio.sleep(0.05)


async def test_paths_with_spaces_quotes_and_accents(tor: TorNetwork) -> None:
    """zcash/zcash#2210, lightningnetwork/lnd#6829: Tor escapes them as C does; and what GETCONF says goes with them."""
    odd = r"{folder}/od d \303\251\"q "
    lines = f'SocksPort {{address}}:9050 OnionTrafficOnly\nSocksPort unix:"{odd}socks" WorldWritable\n'
    with tor.another("odd", f'{lines}{COOKIE}CookieAuthFile "{odd}cookie"\n') as process:
        async with opener(unix(process.folder))() as controller:
            listeners, settings = await controller.info("net/listeners/socks"), await controller.setting("SocksPort")

    socks = choose_socks_port(listeners, unix(process.folder), settings)
    assert socks == Uri("unix", path=str(process.folder / 'od d é"q socks'))


async def test_a_tor_without_authentication(tor: TorNetwork) -> None:
    with tor.another("null", "DisableNetwork 1\n") as process:
        async with opener(unix(process.folder))() as controller:
            assert controller.version.startswith("0.4.")
            assert "PROGRESS=0" in await controller.info("status/bootstrap-phase")


@pytest.mark.parametrize("named", [True, False])
async def test_safecookie(tor: TorNetwork, named: bool) -> None:
    with tor.another("cookie", f"DisableNetwork 1\n{COOKIE}") as process:
        cookie = process.folder / "control_auth_cookie" if named else None
        async with opener(unix(process.folder), ControlCredentials(cookie=cookie))() as controller:
            assert (await controller.info("version")).startswith("0.4.")  # refused without authentication


async def test_another_cookie_proves_nothing(tor: TorNetwork, tmp_path: Path) -> None:
    (tmp_path / "cookie").write_bytes(os.urandom(32))
    with tor.another("wrong-cookie", f"DisableNetwork 1\n{COOKIE}") as process:
        open_connection = opener(unix(process.folder), ControlCredentials(cookie=tmp_path / "cookie"))
        with pytest.raises(TorError, match="does not know Tor's cookie"):
            await open_connection().__aenter__()


async def test_a_password_over_tcp(tor: TorNetwork, tmp_path: Path) -> None:
    password = 'pass "word" \\'
    printed = await anyio.run_process([find("tor", "tor"), "--hush", "--hash-password", password])
    hashed = printed.stdout.decode().split()[-1]
    lines = f"DisableNetwork 1\nHashedControlPassword {hashed}\nControlPort {{address}}:9052\n"
    (tmp_path / "right").write_text(f"{password}\n")
    (tmp_path / "wrong").write_text("wrong\n")
    with tor.another("password", lines) as process:
        control = Uri("tcp", process.address, 9052)
        async with opener(control, ControlCredentials(tmp_path / "right"))() as controller:
            await controller.info("version")
        with pytest.raises(TorError, match="Tor refuses authentication"):
            async with opener(control, ControlCredentials(tmp_path / "wrong"))():
                pass
        with pytest.raises(TorError, match="give --tor-password-file"):
            async with opener(control)():
                pass


async def test_a_start_is_followed_and_a_killed_tor_comes_back(tor: TorNetwork) -> None:
    with tor.another("started", CLIENT) as process:
        told = list[Uri]()
        link = TorLink(unix(process.folder), opener(unix(process.folder)), take_socks=told.append)
        async with following(link) as logs:
            await until(logs, "tor.up")
            process.process.send_signal(signal.SIGKILL)
            await until(logs, "tor.up", "tor.down")
            await anyio.to_thread.run_sync(process.process.wait)
            with tor.another("started", CLIENT) as again:
                await until(logs, "tor.up", "tor.down", "tor.up")
    assert told == [Uri("socks5", process.address, 9050), Uri("socks5", again.address, 9050)]

    steps = [each["progress"] for each in logs if each["event"] == "tor.bootstrap"]
    assert 100 in steps
    downs = [each for each in logs if each["event"] == "tor.down" and each["log_level"] == "warning"]
    assert len(downs) >= 1


async def test_an_onion_service_is_reached_once_it_is_said_to_be_and_keeps_its_name(
    tor: TorNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = os.urandom(32)
    monkeypatch.setattr(onion_key_module.secrets, "token_bytes", lambda size: seed)
    key = make_onion_key(tmp_path / "onion_key")
    name = str(OnionAddress(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()))
    connector = through(tor.proxy, auth=Isolated()).layer(TcpConnector())
    with tor.another("onion", "SocksPort 0\n") as process:
        async with echo(first=BANNER) as port:
            service = OnionService(key, 16111, f"127.0.0.1:{port}")
            for _ in range(2):  # the second is another run of the node
                link = TorLink(unix(process.folder), opener(unix(process.folder)))
                async with following(link) as logs:
                    link.onion.publish(service)
                    await until(logs, "tor.up", "onion.publishing", "onion.published")
                    assert link.onion.name == name
                    async with await connector(Uri("tcp", name, 16111)) as stream:
                        assert await read_exactly(stream, len(BANNER)) == BANNER
    assert "error" not in [each["log_level"] for each in logs]

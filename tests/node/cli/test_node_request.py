"""Real control sockets."""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread
import pytest

from tests.node.running import answering
from ziggurat.node.cli.node_request import ask_node, flag_of
from ziggurat.node.config.networks import DEVNET, MAINNET, numbered_testnet
from ziggurat.node.config.settings import Settings
from ziggurat.node.daemon.control import NotRunning, serve_control

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


async def asked(settings: Settings) -> object:
    return await anyio.to_thread.run_sync(ask_node, settings, "peers")


async def test_a_node_of_another_network_is_named_with_the_flag_to_use(tmp_path: Path) -> None:
    for network in (DEVNET, numbered_testnet(12)):
        (tmp_path / network.name).mkdir()
    (tmp_path / "kaspa-simnet").mkdir()
    (tmp_path / "kaspa-simnet" / "control.sock").touch()  # no node
    async with (
        serve_control(tmp_path / "kaspa-devnet", {"peers": answering(1)}),
        serve_control(tmp_path / "kaspa-testnet-12", {"peers": answering(2)}),
    ):
        with pytest.raises(NotRunning) as caught:
            await asked(Settings(appdir=tmp_path, network=MAINNET))
        assert await asked(Settings(appdir=tmp_path, network=DEVNET)) == 1
    assert str(caught.value) == (
        f"no node is running in {tmp_path}/kaspa-mainnet (No such file or directory); one of another network is: "
        "kaspa-devnet (use --devnet), kaspa-testnet-12 (use --testnet --netsuffix 12)"
    )


@pytest.mark.parametrize("appdir", ["", "missing"])
async def test_without_any_node_none_is_named(tmp_path: Path, appdir: str) -> None:
    with pytest.raises(NotRunning, match=r"\(No such file or directory\)$"):
        await asked(Settings(appdir=tmp_path / appdir))


async def test_every_network_has_a_flag() -> None:
    assert flag_of("kaspa-mainnet") == "no network flag"
    assert flag_of("kaspa-testnet-10") == "--testnet"
    assert flag_of("kaspa-testnet-11") == "--testnet --netsuffix 11"
    assert flag_of("kaspa-simnet") == "--simnet"

"""Ask the node that runs in the app directory, and say what to do if none does."""

from __future__ import annotations

import re
from pathlib import Path

from ziggurat.node.config import Settings
from ziggurat.node.daemon import Arguments, NotRunning, ask, is_running

__all__ = ["ask_node"]

FLAGS = {"kaspa-mainnet": "no network flag", "kaspa-devnet": "--devnet", "kaspa-simnet": "--simnet"}

DEFAULT_TESTNET = "kaspa-testnet-10"


def ask_node(settings: Settings, request: str, arguments: Arguments | None = None) -> object:
    """Send a request to the running node, and return its reply.

    Raises:
        NotRunning: no node of this network runs there; the message names those of other networks that do.
        RequestRefused: the node refused the request.
    """
    try:
        return ask(settings.directory, request, arguments)
    except NotRunning as error:
        others = [f"{name} (use {flag_of(name)})" for name in _running_networks(settings.appdir)]
        if not others:
            raise
        raise NotRunning(f"{error}; one of another network is: {', '.join(others)}") from error


def flag_of(network: str) -> str:
    """Return the flag of a network, for people."""
    number = network.rpartition("-")[2]
    testnet = "--testnet" if network == DEFAULT_TESTNET else f"--testnet --netsuffix {number}"
    return FLAGS.get(network, testnet)


def _running_networks(appdir: Path) -> list[str]:
    try:
        names = sorted(path.name for path in appdir.iterdir())
    except OSError:
        return []
    ours = [name for name in names if name in FLAGS or re.fullmatch(r"kaspa-testnet-\d+", name)]
    return [name for name in ours if is_running(appdir / name)]

"""``ziggurat peers``: list the peers of the running node."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import cast

from ziggurat.node.cli.exit_code import FAILED, OK
from ziggurat.node.cli.terminal import print_error, print_lines
from ziggurat.node.config import Resolved, add_settings
from ziggurat.node.daemon import NotRunning, ask
from ziggurat.services.errors import fold

__all__ = ["add_parser", "run"]

SCHEMA = 1


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Add the parser of the command's arguments."""
    parser = commands.add_parser(
        "peers",
        help="show the peers of the running node",
        description="List the peers of the node that is running in the app directory, one per line: direction, "
        "address, proxy, age, ping, user agent. Exits with 0, or with 1 when no node is running there.",
        allow_abbrev=False,
    )
    add_settings(parser, node=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else")
    return parser


def run(options: argparse.Namespace, resolved: Resolved) -> int:
    """Run the command and return its exit code."""
    try:
        peers = cast("list[dict[str, object]]", ask(resolved.settings.directory, "peers"))
    except NotRunning as error:
        print_error(f"ziggurat peers: {error}")
        return FAILED
    if options.json:
        print_lines(json.dumps({"schema": SCHEMA, "peers": peers}))
    else:
        print_lines(*map(peer_line, peers))
    return OK


def peer_line(peer: Mapping[str, object]) -> str:
    """Return the line for a peer."""
    ping = peer["ping"]
    shown = f"{ping * 1e3:.1f} ms" if isinstance(ping, int | float) else "-"
    way = f"via {peer['via']}" if peer["via"] else "direct"
    text = f"{peer['direction']:8}  {peer['address']}  {way}  {_age(peer['age'])}  ping {shown}  {peer['user_agent']}"
    return fold(text)


def _age(seconds: object) -> str:
    whole = int(seconds) if isinstance(seconds, int | float) else 0
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}d {clock}" if days else clock

"""``ziggurat peers``: list the peers of the running node."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import cast

from ziggurat.node.cli.duration import short_duration
from ziggurat.node.cli.exit_code import FAILED, OK
from ziggurat.node.cli.node_request import ask_node
from ziggurat.node.cli.table import Column, print_table
from ziggurat.node.cli.terminal import print_error, print_lines
from ziggurat.node.config import Resolved, add_settings
from ziggurat.node.daemon import NotRunning, RequestRefused
from ziggurat.node.peer import PROXIED

__all__ = ["add_parser", "run"]

SCHEMA = 1

COLUMNS = (
    Column("dir", colour="dim"),
    Column("address"),
    Column("via"),
    Column("age", "right"),
    Column("ping", "right"),
    Column("user agent"),
)
"""The user agent last, since it is the one to shorten: 80 columns hold an IPv4 address, a proxy and its beginning."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Add the parser of the command's arguments."""
    parser = commands.add_parser(
        "peers",
        help="show the peers of the running node",
        description="List the peers of the node that is running in the app directory, as a table: direction, address, "
        "proxy, age, ping, user agent. Exits with 0, or with 1 when no node is running there.",
        allow_abbrev=False,
    )
    add_settings(parser, node=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else")
    return parser


def run(options: argparse.Namespace, resolved: Resolved) -> int:
    """Run the command and return its exit code."""
    try:
        peers = cast("list[dict[str, object]]", ask_node(resolved.settings, "peers"))
    except (NotRunning, RequestRefused) as error:
        print_error(f"ziggurat peers: {error}")
        return FAILED
    if options.json:
        print_lines(json.dumps({"schema": SCHEMA, "peers": peers}))
    elif peers:
        print_table(COLUMNS, list(map(peer_cells, peers)))
    else:
        print_lines(f"no peers yet on {resolved.settings.network}")
    return OK


def peer_cells(peer: Mapping[str, object]) -> list[str]:
    """Return the table's cells for a peer. Its address shows its network, unless it came to our onion service."""
    age, ping = peer["age"], peer["ping"]
    return [
        {"inbound": "in", "outbound": "out"}.get(str(peer["direction"]), str(peer["direction"])),
        str(peer["address"]),
        "onion" if peer["via"] == PROXIED and peer["network"] == "onion" else str(peer["via"] or "direct"),
        short_duration(age) if isinstance(age, int | float) else "-",
        _ping(ping) if isinstance(ping, int | float) else "-",
        str(peer["user_agent"]),
    ]


def _ping(seconds: float) -> str:
    return (
        f"{seconds:.1f} s"
        if seconds >= 1
        else f"{seconds * 1e3:.0f} ms"
        if seconds >= 0.01
        else f"{seconds * 1e3:.1f} ms"
    )

"""``ziggurat peers``: list the peers of the running node."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import cast

from ziggurat.node.cli.duration import short_duration
from ziggurat.node.cli.exit_code import FAILED, OK
from ziggurat.node.cli.node_request import ask_node
from ziggurat.node.cli.table import Column, print_table
from ziggurat.node.cli.terminal import print_error, print_lines
from ziggurat.node.config import Resolved, add_settings
from ziggurat.node.daemon import NotRunning, RequestRefused
from ziggurat.node.peer import ONION, PROXIED
from ziggurat.node.tor import Relay

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

BEFORE_TUNNEL = 3
"""Columns up to ``via``, which those of a tunnel follow."""

TUNNEL_COLUMNS = (Column("net"), Column("iso"))
"""If a peer was dialled through a proxy or came in by our onion service."""

CIRCUIT_COLUMN = Column("circuit")
"""After those, if the node has a control port of Tor."""

NO_CONTROLLER = "no control port"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Add the parser of the command's arguments."""
    parser = commands.add_parser(
        "peers",
        help="show the peers of the running node",
        description="List the peers of the node that is running in the app directory, as a table: direction, address, "
        "proxy, age, ping, user agent; through a proxy also network and isolation, and with Tor's control port the "
        "circuit and its relays. Exits with 0, or with 1 when no node is running there.",
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
        print_table(*peer_table(peers))
    else:
        print_lines(f"no peers yet on {resolved.settings.network}")
    return OK


def peer_table(peers: Sequence[Mapping[str, object]]) -> tuple[list[Column], list[list[str]]]:
    """Return the table's columns and the cells of each peer. A node that uses no proxy has no columns about them."""
    extra: list[Column] = []
    if any(peer.get("isolation") is not None or peer["via"] == ONION for peer in peers):
        extra += TUNNEL_COLUMNS
    if any(peer.get("circuit") or peer.get("circuit_unknown") not in (None, NO_CONTROLLER) for peer in peers):
        extra.append(CIRCUIT_COLUMN)
    at = BEFORE_TUNNEL
    rows = [peer_cells(peer) for peer in peers]
    for peer, row in zip(peers, rows, strict=True):
        row[at:at] = _tunnel_cells(peer)[: len(extra)]
    return [*COLUMNS[:at], *extra, *COLUMNS[at:]], rows


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


def _tunnel_cells(peer: Mapping[str, object]) -> list[str]:
    """Return network, isolation and circuit."""
    circuit = cast("Mapping[str, object] | None", peer.get("circuit"))
    if circuit is None:
        shown = str(peer.get("circuit_unknown") or "-")
    else:
        path = cast("list[Mapping[str, str | None]]", circuit["path"] or [])
        shown = " ".join([str(circuit["id"]), ",".join(map(_relay, path))]).rstrip()
    return [str(peer["network"]), str(peer.get("isolation") or "-"), shown]


def _relay(relay: Mapping[str, str | None]) -> str:
    return str(Relay(str(relay["fingerprint"]), relay["nickname"]))


def _ping(seconds: float) -> str:
    return (
        f"{seconds:.1f} s"
        if seconds >= 1
        else f"{seconds * 1e3:.0f} ms"
        if seconds >= 0.01
        else f"{seconds * 1e3:.1f} ms"
    )

"""``ziggurat ban``, ``unban`` and ``banned``: the bans of the running node."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import cast

from ziggurat.node.cli.duration import DURATION_SYNTAX, parse_duration, short_duration
from ziggurat.node.cli.exit_code import FAILED, OK, USAGE
from ziggurat.node.cli.node_request import ask_node
from ziggurat.node.cli.table import Column, print_table
from ziggurat.node.cli.terminal import print_error, print_lines
from ziggurat.node.config import Resolved, add_settings
from ziggurat.node.daemon import NotRunning, RequestRefused
from ziggurat.node.inbound import BAN_SYNTAX, DEFAULT_DURATION, ban_text, parse_ban

__all__ = ["add_ban_parser", "add_banned_parser", "add_unban_parser", "run_ban", "run_banned", "run_unban"]

SCHEMA = 1

COLUMNS = (Column("banned"), Column("until"), Column("left", "right"), Column("by"))

WHAT = f"an IP, a network, or the user agents that match a shell pattern, in any case: {BAN_SYNTAX}"

Commands = argparse._SubParsersAction  # pyright: ignore[reportPrivateUsage]


def add_ban_parser(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the parser of the arguments of ``ban``."""
    parser = commands.add_parser(
        "ban",
        help="ban peers of the running node",
        description="Ban an IP, a network or user agents. Peers that it affects are dropped, and neither let in nor "
        "dialled until the ban ends, also after a restart. Peers of --addpeer and --connect are exempt. Exits with 0, "
        "or with 1 when no node is running, 2 on bad arguments.",
        allow_abbrev=False,
    )
    add_settings(parser, node=False)
    parser.add_argument("what", metavar="WHAT", help=WHAT)
    default = short_duration(DEFAULT_DURATION)
    help = f"how long: {DURATION_SYNTAX} (default: {default}). A longer ban of the same is not shortened"
    parser.add_argument("--for", dest="duration", metavar="DURATION", help=help)
    return parser


def add_unban_parser(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the parser of the arguments of ``unban``."""
    parser = commands.add_parser(
        "unban",
        help="lift a ban of the running node",
        description="Lift a ban, for what it was given for. Exits with 0, or with 1 when there is no such ban or no "
        "node is running, 2 on bad arguments.",
        allow_abbrev=False,
    )
    add_settings(parser, node=False)
    parser.add_argument("what", metavar="WHAT", help="what is banned, as 'ziggurat banned' shows it")
    return parser


def add_banned_parser(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the parser of the arguments of ``banned``."""
    parser = commands.add_parser(
        "banned",
        help="show the bans of the running node",
        description="List what the running node bans, until when, and whether a command or the settings ban it. Exits "
        "with 0, or with 1 when no node is running.",
        allow_abbrev=False,
    )
    add_settings(parser, node=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else")
    return parser


def run_ban(options: argparse.Namespace, resolved: Resolved) -> int:
    """Run ``ban`` and return its exit code."""
    try:
        what = _what(options.what)
        seconds = DEFAULT_DURATION if options.duration is None else parse_duration(options.duration)
        reply = _ask("ban", resolved, {"what": what, "seconds": seconds})
    except NotRunning as error:
        print_error(f"ziggurat ban: {error}")
        return FAILED
    except ValueError as error:  # ours, or RequestRefused
        print_error(f"ziggurat ban: {error}")
        return USAGE
    dropped = reply["dropped"]
    peers = f"; {dropped} {'peer' if dropped == 1 else 'peers'} dropped" if dropped else ""
    print_lines(f"banned {reply['what']} {_until(reply)}{peers}")
    _print_notes("ban", reply)
    return OK


def run_unban(options: argparse.Namespace, resolved: Resolved) -> int:
    """Run ``unban`` and return its exit code."""
    try:
        reply = _ask("unban", resolved, {"what": _what(options.what)})
    except NotRunning as error:
        print_error(f"ziggurat unban: {error}")
        return FAILED
    except ValueError as error:
        print_error(f"ziggurat unban: {error}")
        return USAGE
    what, others = reply["what"], cast("list[dict[str, object]]", reply["others"])
    _print_notes("unban", reply)
    if not reply["lifted"]:
        print_error(f"ziggurat unban: {_not_banned(what, others)}")
        return FAILED
    still = f"; these bans overlap it: {_list(others)}" if others else ""
    print_lines(f"unbanned {what}{still}")
    return OK


def run_banned(options: argparse.Namespace, resolved: Resolved) -> int:
    """Run ``banned`` and return its exit code."""
    try:
        bans = cast("list[dict[str, object]]", ask_node(resolved.settings, "banned"))
    except (NotRunning, RequestRefused) as error:
        print_error(f"ziggurat banned: {error}")
        return FAILED
    if options.json:
        print_lines(json.dumps({"schema": SCHEMA, "bans": bans}))
    elif bans:
        print_table(COLUMNS, list(map(ban_cells, bans)))
    else:
        print_lines(f"nothing is banned on {resolved.settings.network}")
    return OK


def ban_cells(ban: Mapping[str, object]) -> list[str]:
    """Return the table's cells for a ban."""
    left = ban["seconds_left"]
    by = "--ban" if ban["by"] == "settings" else "command"
    until = str(ban["until"]) if ban["until"] else "forever" if by == "command" else "-"
    return [str(ban["what"]), until, short_duration(left) if isinstance(left, int | float) else "", by]


def _what(text: str) -> str:
    try:
        return ban_text(parse_ban(text))
    except ValueError as error:
        raise ValueError(f"{error}; expected {BAN_SYNTAX}") from error


def _ask(request: str, resolved: Resolved, arguments: Mapping[str, object]) -> dict[str, object]:
    return cast("dict[str, object]", ask_node(resolved.settings, request, arguments))


def _until(ban: Mapping[str, object]) -> str:
    if ban["until"] is None:
        return "by the settings" if ban["by"] == "settings" else "until it is unbanned"
    return f"until {ban['until']}"


def _not_banned(what: object, others: Sequence[Mapping[str, object]]) -> str:
    if any(ban["what"] == what for ban in others):
        return f"{what} is banned by the settings: remove it there (--ban)"
    return f"{what} is not banned itself, but these overlap it: {_list(others)}" if others else f"{what} is not banned"


def _list(bans: Sequence[Mapping[str, object]]) -> str:
    shown = ", ".join(f"{ban['what']} ({_until(ban)})" for ban in bans[:3])
    return shown if len(bans) <= 3 else f"{shown} and {len(bans) - 3} more"


def _print_notes(command: str, reply: Mapping[str, object]) -> None:
    for note in cast("list[str]", reply["notes"]):
        print_error(f"ziggurat {command}: {note}")

"""``ziggurat probe``: dial one peer, and show its handshake or the failed phase."""

from __future__ import annotations

import argparse
import json
import sys

import anyio

from ziggurat.node.address import parse_peer_address
from ziggurat.node.cli.exit_code import FAILED, OK, PROXY_FAILED
from ziggurat.node.cli.json_output import dial_as_json, peer_record
from ziggurat.node.cli.probe import ProbeResult, probe
from ziggurat.node.cli.terminal import Paint, paint_for, print_lines
from ziggurat.node.cli.tor_reply import explain_reply, reply_of
from ziggurat.node.cli.waterfall import waterfall
from ziggurat.node.config import Resolved, SettingsError, add_settings
from ziggurat.services.errors import fold

__all__ = ["add_parser", "run"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Add the parser of the command's arguments."""
    parser = commands.add_parser(
        "probe",
        help="dial one peer, complete the handshake and disconnect",
        description="Dial a peer as the node would, complete the handshake and disconnect. Settings can also come from "
        "environment variables, as for the node. Exits with 0 when the peer answered, 1 when it did not (or the proxy "
        "reports so), 2 on bad arguments, 3 when the proxy failed.",
        allow_abbrev=False,
    )
    parser.add_argument("peer", metavar="HOST[:PORT]", help="IP or name of the peer (default port: the network's)")
    add_settings(parser, node=False)
    parser.add_argument("--timeout", metavar="S", help="time limit in seconds (default: only the limits of each phase)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else")
    return parser


def run(options: argparse.Namespace, resolved: Resolved) -> int:
    """Run the command and return its exit code.

    Raises:
        SettingsError: the target or the timeout is invalid.
    """
    settings = resolved.settings
    try:
        address = parse_peer_address(options.peer, settings.network.port)
        address.uri()
    except ValueError as error:
        raise SettingsError(f"bad target {options.peer!r} ({error}); expected IP[:PORT] or NAME[:PORT]") from error
    result = anyio.run(probe, address, settings, _seconds(options.timeout))
    if options.json:
        outcome = result.error if result.peer is None else peer_record(result.peer)
        print_lines(json.dumps(dial_as_json(result.target, result.via, result.ledger, outcome)))
    else:
        known = settings.tor_control is not None or settings.tor_only
        print_lines(*_as_text(result, paint_for(sys.stdout), tor=known))
    if result.error is None:
        return OK
    return PROXY_FAILED if result.proxy_failed else FAILED


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"--timeout: bad value {text!r}; expected a positive number of seconds")
    return seconds


def _as_text(result: ProbeResult, paint: Paint, *, tor: bool) -> list[str]:
    way = f"through {result.via}" if result.via else "directly"
    lines = [paint("bold", f"The dial to {result.target}, {way}:")]
    lines += [f"  {line}" for line in waterfall(result.ledger.phases if result.ledger else [], paint)]
    lines.append("")
    if result.peer is None:
        lines.append(paint("red", f"Failed: {result.error}"))
        if (reply := reply_of(result.error, tor=tor)) is not None:
            meaning, hint = explain_reply(reply)
            lines += [meaning, f"  {hint}"]
        return lines
    lines.append(paint("bold", "The peer:"))
    return lines + [f"  {name.replace('_', ' '):17} {fold(str(v))}" for name, v in peer_record(result.peer).items()]

"""``ziggurat demo``: dial an embedded peer through an embedded proxy."""

from __future__ import annotations

import argparse
import json
import sys

import anyio

from ziggurat.node.cli.demo import DemoResult, run_demo
from ziggurat.node.cli.exit_code import FAILED, OK
from ziggurat.node.cli.json_output import dial_as_json, peer_record
from ziggurat.node.cli.terminal import Paint, indented, paint_for, print_lines
from ziggurat.node.cli.waterfall import waterfall
from ziggurat.services.version import version

__all__ = ["add_parser", "run"]

DEMO_TIMEOUT = 60.0
"""Seconds. The demo takes less than one; the limit only keeps it from hanging."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Add the parser of the command's arguments."""
    parser = commands.add_parser(
        "demo",
        help="dial an embedded peer through an embedded SOCKS5 proxy",
        description="Start a peer and a SOCKS5 proxy on loopback, dial the peer through the proxy, and show the stack, "
        "a waterfall of the dial, and the peer. Needs neither root nor a network. Exits with 0 on success, else 1.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else")
    parser.add_argument(
        "--log-format",
        choices=("auto", "console", "json"),
        default="auto",
        help="log format on stderr; auto is console on a terminal, else json (default: %(default)s)",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""

    async def demonstration() -> DemoResult:
        with anyio.fail_after(DEMO_TIMEOUT):
            return await run_demo(f"/ziggurat-demo:{version()}/")

    result = anyio.run(demonstration)
    if options.json:
        outcome = result.error or (None if result.peer is None else peer_record(result.peer))
        print_lines(json.dumps(dial_as_json(result.target, result.via, result.ledger, outcome)))
    else:
        print_lines(*_as_text(result, paint_for(sys.stdout)))
    return OK if result.error is None else FAILED


def _as_text(result: DemoResult, paint: Paint) -> list[str]:
    lines = [paint("bold", "The stack, outermost layer first:")]
    lines += [line for layer in str(result.stack).split("\n") for line in indented(layer)]
    lines += ["", paint("bold", f"The dial to {result.target} through {result.via}:")]
    lines += [f"  {line}" for line in waterfall(result.ledger.phases if result.ledger else [], paint)]
    lines.append("")
    if result.peer is not None:
        lines.append(paint("bold", "The peer:"))
        lines += [f"  {name.replace('_', ' '):17} {value}" for name, value in peer_record(result.peer).items()]
    if result.ping is not None:
        lines.append(f"  {'ping':17} {result.ping * 1e3:.1f} ms")
    if result.addresses:
        lines.append(f"  {'addresses':17} {', '.join(result.addresses)}")
    lines.append("")
    if result.error is not None:
        return [*lines, paint("red", f"Failed: {result.error}")]
    name = result.resolved_by_proxy
    return [
        *lines,
        paint("green", f"Success: only the proxy resolved {name!r}, and all connections are closed."),
    ]

"""The command ``ziggurat``: results on stdout, log lines on stderr."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

import anyio

from ziggurat.node.demo import Demonstration, demonstrate
from ziggurat.node.log import configure_log
from ziggurat.node.terminal import Paint, paint_for
from ziggurat.node.waterfall import phase_records, waterfall
from ziggurat.services import ConnectError

__all__ = ["main"]

OK, FAILED = 0, 1
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
DEMO_LIMIT = 60.0
"""Seconds. It takes less than one; a machine that cannot do it in sixty has something else to tell."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and answer with its exit code; ``None`` takes ``sys.argv``. Bad arguments raise `SystemExit`."""
    options = _parser().parse_args(arguments)
    configure_log(options.log_format)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (``| head``): nothing more can be said, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ziggurat",
        description="A Kaspa P2P node whose every outbound connection goes through one stack of layers.",
        epilog="NO_COLOR is honoured. Results go to stdout, log lines to stderr.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"ziggurat {version('ziggurat')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="dial an embedded peer through an embedded SOCKS5 proxy",
        description="Start a peer and a SOCKS5 proxy on loopback, dial one through the other, and show the stack, "
        "where the time of the dial went, and the peer. Needs neither root nor a network. Exits with 0 when all of it "
        "happened, else with 1.",
    )
    demo.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    demo.add_argument(
        "--log-format",
        choices=("auto", "console", "json"),
        default="auto",
        help="of the log lines on stderr; auto is console on a terminal, else json (default: %(default)s)",
    )
    demo.set_defaults(run=_demo)
    return parser


def _demo(options: argparse.Namespace) -> int:
    async def run() -> Demonstration:
        with anyio.fail_after(DEMO_LIMIT):
            return await demonstrate(f"/ziggurat-demo:{version('ziggurat')}/")

    result = anyio.run(run)
    if options.json:
        print(json.dumps(_as_json(result)))
    else:
        print("\n".join(_as_text(result, paint_for(sys.stdout))))
    return OK if result.error is None else FAILED


def _as_json(result: Demonstration) -> dict[str, object]:
    report: dict[str, object] = {
        "schema": 1,
        "ok": result.error is None,
        "target": str(result.target),
        "via": result.via,
        "phases": phase_records(result.ledger.phases) if result.ledger is not None else [],
    }
    if result.error is None:
        report["peer"] = result.peer
    else:
        error = result.error
        report["error"] = {
            "type": type(error).__name__,
            "phase": error.phase if isinstance(error, ConnectError) else None,
            "message": str(error),
            "reply_code": getattr(error, "reply_code", None),
        }
    return report


def _as_text(result: Demonstration, paint: Paint) -> list[str]:
    lines = [paint("bold", "The stack, from the top; the top sees the dial first:")]
    lines += [f"  {layer}" for layer in str(result.stack).split("\n")]
    lines += ["", paint("bold", f"The dial to {result.target} through {result.via}:")]
    lines += [f"  {line}" for line in waterfall(result.ledger.phases if result.ledger else [], paint)]
    lines.append("")
    if result.peer is not None:
        lines.append(paint("bold", "The peer:"))
        lines += [f"  {name.replace('_', ' '):17} {value}" for name, value in result.peer.items()]
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
        paint("green", f"All of it happened; {name!r} was looked up by the proxy alone, and all is closed."),
    ]

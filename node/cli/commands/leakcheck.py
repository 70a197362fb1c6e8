"""``ziggurat leakcheck``: run a program where only its proxy answers, and say what went elsewhere."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

from ziggurat.layers.leakcheck import CommandError, LeakReport, NamespaceError, leakcheck
from ziggurat.node.cli.exit_code import FAILED, IMPOSSIBLE, OK, UNPROVED, USAGE
from ziggurat.node.cli.leakcheck import leak_lines, report_as_json
from ziggurat.node.cli.terminal import paint_for, print_error, print_lines
from ziggurat.node.config import SettingsError

__all__ = ["add_parser", "run"]

PROXY = "127.0.0.1:9050"

SECONDS = 60.0
"""How long the node runs if no command is given."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Add the parser of the command's arguments."""
    parser = commands.add_parser(
        "leakcheck",
        help="run a program where only its proxy answers, and say what went elsewhere",
        usage="ziggurat leakcheck [options] [-- COMMAND...]",
        description="Run a program in a network namespace where every address but the proxy's leads nowhere, and say "
        "which process looked up or contacted what, and when. Without a command it runs the node for a minute, with a "
        "fresh app directory, behind the proxy. The program's stdout goes to stderr. Needs Linux, and root or user "
        "namespaces. Exits with 0 when it is clean, 1 when something leaked, 2 on bad arguments, 3 when this machine "
        "does not allow the check, 4 when nothing leaked but the program failed or never reached the proxy, which "
        "proves nothing.",
        allow_abbrev=False,
    )
    parser.add_argument("command_line", nargs="*", metavar="COMMAND", help="the program and its arguments")
    parser.add_argument(
        "--proxy",
        action="append",
        metavar="ADDR",
        help=f"what answers: HOST:PORT, [IPv6]:PORT or unix:/PATH; repeatable (default: {PROXY}, Tor's)",
    )
    parser.add_argument(
        "--expose",
        action="append",
        metavar="PORT",
        help="a port that the program listens on, to be reached at 127.0.0.1 of this machine; repeatable",
    )
    help = f"end it after S seconds, by SIGTERM (default: never; of the node: {SECONDS:g})"
    parser.add_argument("--for", dest="seconds", metavar="S", help=help)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code.

    Raises:
        SettingsError: an argument is wrong.
    """
    proxies: list[str] = options.proxy or [PROXY]
    command: list[str] = options.command_line
    ports = [_port(text) for text in options.expose or ()]
    seconds = None if options.seconds is None else _seconds(options.seconds)
    try:
        with _terminated_as_interrupted():
            report = _check(command, proxies, ports, seconds)
    except ValueError as error:
        raise SettingsError(f"--proxy: {error}") from None
    except NamespaceError as error:
        print_error(f"ziggurat leakcheck: {error}")
        return IMPOSSIBLE
    except CommandError as error:
        print_error(f"ziggurat leakcheck: {error}")
        return UNPROVED
    except OSError as error:
        print_error(f"ziggurat leakcheck: {error.strerror or error}")
        return USAGE
    if options.json:
        print_lines(json.dumps(report_as_json(report)))
    else:
        print_lines(*leak_lines(report, paint_for(sys.stdout)))
    return _code(report)


def _check(command: list[str], proxies: list[str], ports: list[int], seconds: float | None) -> LeakReport:
    if command:
        return leakcheck(command, proxies=proxies, expose=ports, seconds=seconds)
    with tempfile.TemporaryDirectory(prefix="ziggurat-") as folder:
        node = [sys.executable, "-m", "ziggurat.node", "node", "-b", folder, "--socks5-proxy", proxies[0]]
        return leakcheck(node, proxies=proxies, expose=ports, seconds=seconds or SECONDS)


@contextmanager
def _terminated_as_interrupted() -> Generator[None, None, None]:
    """Let SIGTERM end the program early, as Ctrl-C does, so that there is a report."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _code(report: LeakReport) -> int:
    if report.findings:
        return FAILED
    return OK if report.clean else UNPROVED


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise SettingsError(f"--expose: bad value {text!r}; expected a port, 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"--for: bad value {text!r}; expected a positive number of seconds")
    return seconds

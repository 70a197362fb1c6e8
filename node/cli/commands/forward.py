"""``ziggurat forward``: a local port, or a local SOCKS5 server, in front of a stack."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from typing import get_args

import anyio

from ziggurat.layers.forward import ForwardedConnection, Forwarder, ListenAddress, Socks5Listener
from ziggurat.layers.forward.address import LISTEN_SYNTAX
from ziggurat.layers.forward.forwarder import parse_target
from ziggurat.layers.forward.isolation import isolate_clients
from ziggurat.layers.forward.stack import forward_stack
from ziggurat.layers.layer import Layer
from ziggurat.node.cli.exit_code import FAILED, OK
from ziggurat.node.cli.forward import connection_line, run_forwarder
from ziggurat.node.cli.interrupt import quit_on_interrupt
from ziggurat.node.cli.line_writer import LineWriter
from ziggurat.node.cli.terminal import print_error, unbuffered
from ziggurat.node.cli.way import add_way_flags, chosen_way
from ziggurat.node.config import LogFormat, LogLevel, SettingsError
from ziggurat.services.uri import Uri

__all__ = ["add_parser", "log_level", "run"]

TARGET_SYNTAX = "HOST:PORT, a URI or unix:/path"

TIMEOUT, DRAIN, MAX_CONNECTIONS = 60.0, 10.0, 1000


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Add the parser of the command's arguments."""
    parser = commands.add_parser(
        "forward",
        help="a local port, or a local SOCKS5 server, that leads through a proxy",
        usage="ziggurat forward [options] LISTEN TARGET\n       ziggurat forward [options] --socks5 LISTEN",
        description="Listen on a local port and connect each client to TARGET; or, with --socks5, be a SOCKS5 server "
        "that connects each client to where it asks. Prints a line for each connection when it has ended. Runs until "
        "SIGINT or SIGTERM; then open connections may still end. Exits with 0 when stopped, 1 when it cannot listen, 2 "
        "on bad arguments.",
        allow_abbrev=False,
    )
    parser.add_argument("listen", nargs="?", metavar="LISTEN", help=LISTEN_SYNTAX)
    parser.add_argument("target", nargs="?", metavar="TARGET", help=TARGET_SYNTAX)
    parser.add_argument(
        "--socks5",
        metavar="LISTEN",
        help="be a SOCKS5 server there; the user name and password of a client, whatever they are, keep it apart from "
        "others at a proxy that isolates, as Tor does",
    )
    add_way_flags(parser)
    parser.add_argument("--tls", action="store_true", help="speak TLS with the target, whose certificate is verified")
    parser.add_argument(
        "--allow-remote", action="store_true", help="allow LISTEN to be an address that other machines can reach"
    )
    parser.add_argument("--timeout", metavar="S", help=f"time limit of a dial in seconds (default: {TIMEOUT:g})")
    help = "seconds without a byte after which a connection is cut off (default: none)"
    parser.add_argument("--idle-timeout", metavar="S", help=help)
    help = f"seconds that open connections get at the end (default: {DRAIN:g})"
    parser.add_argument("--drain", metavar="S", help=help)
    help = f"connections at once; others wait to be accepted (default: {MAX_CONNECTIONS})"
    parser.add_argument("--max-connections", metavar="N", help=help)
    parser.add_argument(
        "--log-format",
        choices=get_args(LogFormat),
        default="auto",
        help="log format on stderr; auto is console on a terminal, else json (default: %(default)s)",
    )
    parser.add_argument(
        "--loglevel",
        choices=get_args(LogLevel),
        help="minimum level of the log (default: info; on a terminal warn, since the lines on stdout tell the rest)",
    )
    return parser


def log_level(options: argparse.Namespace) -> LogLevel:
    """Return the level of the log."""
    if options.loglevel is not None:
        level: LogLevel = options.loglevel
        return level
    on_terminal = options.log_format == "console" or (options.log_format == "auto" and sys.stderr.isatty())
    return "warn" if on_terminal else "info"


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code.

    Raises:
        SettingsError: an argument is wrong.
    """
    listen, target = _ends(options)
    unix = target is not None and target.is_unix
    if unix and options.tls:
        raise SettingsError("--tls: a unix socket has no host name to verify")
    stack = forward_stack(
        _ways(options),
        tls=options.tls,
        timeout=_seconds("--timeout", options.timeout, TIMEOUT),
        keepalive=not unix,
    )
    lines = LineWriter(unbuffered(sys.stdout), lambda count: f"{count} lines are missing here", "ziggurat-forward")

    def report(record: ForwardedConnection) -> None:
        lines.write(connection_line(record))

    limit = _count("--max-connections", options.max_connections)
    idle = None if options.idle_timeout is None else _seconds("--idle-timeout", options.idle_timeout, 0)
    drain = _seconds("--drain", options.drain, DRAIN, zero=True)
    forwarder: Forwarder | Socks5Listener
    if target is None:
        forwarder = Socks5Listener(stack, max_connections=limit, idle_timeout=idle, drain=drain, report=report)
    else:
        forwarder = Forwarder(stack, target, max_connections=limit, idle_timeout=idle, drain=drain, report=report)
    try:
        with quit_on_interrupt():  # until the forwarder itself waits for signals
            anyio.run(partial(run_forwarder, forwarder, listen, lines.write, allow_remote=options.allow_remote))
    except OSError as error:
        print_error(f"ziggurat forward: {error.strerror or error}")
        return FAILED
    finally:
        lines.close()
    return OK


def _ends(options: argparse.Namespace) -> tuple[ListenAddress, Uri | None]:
    if options.socks5 is not None:
        if options.listen is not None:
            raise SettingsError("with --socks5 LISTEN the clients say where they go: there is no LISTEN TARGET")
        name, text = "--socks5", str(options.socks5)
    elif options.target is None:
        raise SettingsError("expected LISTEN TARGET, or --socks5 LISTEN")
    else:
        name, text = "LISTEN", str(options.listen)
    try:
        listen = ListenAddress.parse(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None
    if not listen.is_loopback and not options.allow_remote:
        raise SettingsError(f"{name}: other machines can reach {listen}: add --allow-remote if that is wanted")
    if options.socks5 is not None:
        return listen, None
    try:
        target = parse_target(str(options.target))
        # So that rules and variables for https fit.
        return listen, Uri("https", target.host, target.port) if options.tls and target.scheme == "tcp" else target
    except ValueError as error:
        # What has an @ may contain a password.
        reason = "" if "@" in str(options.target) else f"{error}; "
        raise SettingsError(f"TARGET: {reason}expected {TARGET_SYNTAX}") from None


def _ways(options: argparse.Namespace) -> tuple[Layer, ...]:
    way = chosen_way(options.proxy, options.route, os.environ)
    if way is None:
        return ()
    return (way if options.socks5 is None else way.map_layers(isolate_clients),)


def _seconds(name: str, text: str | None, default: float, *, zero: bool = False) -> float:
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not (0 < seconds < float("inf") or (zero and seconds == 0)):
        wanted = "0 or a positive number of seconds" if zero else "a positive number of seconds"
        raise SettingsError(f"{name}: bad value {text!r}; expected {wanted}")
    return seconds


def _count(name: str, text: str | None) -> int:
    if text is None:
        return MAX_CONNECTIONS
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
        raise SettingsError(f"{name}: bad value {text!r}; expected a positive whole number")
    return int(text)

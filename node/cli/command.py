"""The command ``ziggurat``: results on stdout, log lines on stderr."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from typing import NoReturn

from ziggurat.node.cli.commands import bans, demo, explain, forward, leakcheck, node, peers, probe
from ziggurat.node.cli.exit_code import FAILED, INTERRUPTED, USAGE
from ziggurat.node.cli.log import configure_log
from ziggurat.node.cli.terminal import OutputError, flush_streams, open_streams, print_error
from ziggurat.node.config import Resolved, SettingsError, resolve
from ziggurat.services.version import version

__all__ = ["main"]


UNKNOWN_COMMAND = (
    "unknown command; expected demo, node, probe, explain, forward, leakcheck, peers, ban, unban or banned first, "
    "and its settings after it"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; ``None`` uses ``sys.argv``. Bad arguments raise `SystemExit`."""
    open_streams()
    try:
        try:
            return _parse_and_run(arguments)
        finally:
            flush_streams()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputError as error:
        if error.reason is not None:
            print_error(f"ziggurat: cannot write the result to stdout: {error.reason}")
        return FAILED


def _parse_and_run(arguments: Sequence[str] | None) -> int:
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(_unrecognized(unknown, options.parser))
    try:
        return _run(options)
    except SettingsError as error:
        print_error(f"ziggurat {options.command}: {error}")
        raise SystemExit(USAGE) from None


def _run(options: argparse.Namespace) -> int:
    if options.command == "demo":
        configure_log(options.log_format)
        return demo.run(options)
    if options.command == "forward":
        log = configure_log(options.log_format, forward.log_level(options), queued=True)
        try:
            return forward.run(options)
        finally:
            log.close()
    if options.command == "leakcheck":
        return leakcheck.run(options)
    way = explain.take_way(options, os.environ) if options.command == "explain" else None
    resolved = resolve(options, os.environ)
    settings = resolved.settings
    runs = options.command == "node" and not options.show_config
    try:
        log = configure_log(
            settings.log_format, settings.loglevel, settings.log_directory if runs else None, queued=runs
        )
    except OSError as error:
        print_error(f"ziggurat node: cannot write log files to {settings.log_directory}: {error.strerror}")
        return FAILED
    commands: dict[str, Callable[[argparse.Namespace, Resolved], int]] = {
        "node": partial(node.run, log=log),
        "peers": peers.run,
        "probe": probe.run,
        "explain": partial(explain.run, way=way),
        "ban": bans.run_ban,
        "unban": bans.run_unban,
        "banned": bans.run_banned,
    }
    try:
        return commands[str(options.command)](options, resolved)
    finally:
        log.close()


class _Parser(argparse.ArgumentParser):
    """Names the commands where argparse would quote what was given instead of one: it may be a proxy's password."""

    def error(self, message: str) -> NoReturn:
        super().error(UNKNOWN_COMMAND if "invalid choice" in message else message)


def _unrecognized(unknown: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Return the error for arguments that the parser does not know, by name: their values may be secrets."""
    flags = [text.partition("=")[0] if text.startswith("--") else text[:2] for text in unknown if text.startswith("-")]
    if not flags:
        return "unexpected argument"
    known = [word for word in parser.format_help().replace(",", " ").split() if word.startswith("--")]
    close = [f" (did you mean {near[0]}?)" if (near := get_close_matches(flag, known, 1)) else "" for flag in flags]
    return f"unrecognized arguments: {' '.join(map(''.join, zip(flags, close, strict=True)))}"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ziggurat",
        description="A Kaspa P2P node. All its outbound connections go through one stack of layers.",
        epilog="Results go to stdout, log lines to stderr. NO_COLOR is respected.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"ziggurat {version()}")
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="command", dest="command", parser_class=argparse.ArgumentParser
    )
    ours = (demo, node, probe, explain, forward, leakcheck, peers)
    about_bans = (bans.add_ban_parser, bans.add_unban_parser, bans.add_banned_parser)
    for add_parser in (*(command.add_parser for command in ours), *about_bans):
        subparser = add_parser(commands)
        subparser.set_defaults(parser=subparser)
    return parser

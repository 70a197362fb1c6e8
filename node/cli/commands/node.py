"""``ziggurat node``: the daemon; and what it was told, without running it."""

from __future__ import annotations

import argparse
import json

import anyio

from ziggurat.node.cli.exit_code import FAILED, OK
from ziggurat.node.cli.terminal import print_error, print_lines
from ziggurat.node.config import OPTIONS, Resolved, add_settings
from ziggurat.node.daemon import CannotRun, run_daemon

__all__ = ["add_parser", "run"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Describe the command's arguments."""
    parser = commands.add_parser(
        "node",
        help="run a node",
        description="Run a Kaspa P2P node until SIGINT or SIGTERM. Flags and keys are kaspad's. Each can also be a "
        "variable, ZIGGURAT_ and the flag's name, or a key in a file; flags go over variables, variables over the "
        "file. Exits with 0 when it was stopped, 1 when it cannot run, 2 on bad arguments.",
        allow_abbrev=False,
    )
    add_settings(parser, node=True)
    parser.add_argument(
        "--show-config", action="store_true", help="print each setting and where it came from, and exit"
    )
    return parser


def run(options: argparse.Namespace, resolved: Resolved) -> int:
    """Run the command and answer with its exit code."""
    if options.show_config:
        print_lines(*config_lines(resolved))
        return OK
    try:
        anyio.run(run_daemon, resolved)
    except CannotRun as error:
        print_error(f"ziggurat node: {error}")
        return FAILED
    return OK


def config_lines(resolved: Resolved) -> list[str]:
    """A line for each setting, as it would stand in a file, with its source behind it; secrets are masked."""
    settings = resolved.settings
    derived = {
        "socks5-proxy": "none" if settings.proxy is None else str(settings.proxy),
        "listen": "" if settings.listen_address is None else str(settings.listen_address),
        "appdir": str(settings.appdir),
        "logdir": "" if settings.log_directory is None else str(settings.log_directory),
        "netsuffix": 10,
        "outpeers": settings.outpeers,
        "maxinpeers": settings.maxinpeers,
        "loglevel": settings.loglevel,
        "log-format": settings.log_format,
    }
    lines: list[str] = []
    for option in OPTIONS:
        given = resolved.values.get(option.name)
        if given is None or option.name in {"socks5-proxy", "appdir"}:
            empty: object = False if option.read is None else [] if option.many else ""
            value = derived.get(option.name, empty)
        elif isinstance(given, tuple):
            value = [option.mask(text) for text in given]
        else:
            value = int(given) if option.number else option.mask(given) if isinstance(given, str) else given
        # A JSON text, list, number or truth value is one of TOML, too.
        lines.append(f"{option.name} = {json.dumps(value)}  # {resolved.sources[option.name]}")
    lines += [f"# {name}: ignored, it means nothing here" for name in resolved.ignored_settings]
    return lines + [f"# {name}: not obeyed; a proxy is set with socks5-proxy" for name in resolved.ignored_variables]

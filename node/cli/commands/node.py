"""``ziggurat node``: run the daemon, or show its configuration."""

from __future__ import annotations

import argparse
import json
import signal
import sys

import anyio

from ziggurat.node.cli.exit_code import FAILED, OK
from ziggurat.node.cli.interrupt import quit_on_interrupt
from ziggurat.node.cli.log import Log
from ziggurat.node.cli.terminal import print_error, print_lines
from ziggurat.node.config import OPTIONS, PROXY_SETTINGS, Resolved, Way, add_settings
from ziggurat.node.daemon import CannotRun, run_daemon
from ziggurat.services.errors import fold

__all__ = ["add_parser", "run"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    """Add the parser of the command's arguments."""
    parser = commands.add_parser(
        "node",
        help="run a node",
        description="Run a Kaspa P2P node until SIGINT or SIGTERM. Flags are named as in kaspad. Each can also be "
        "set by an environment variable (ZIGGURAT_ and the flag's name) or a key in a file. Flags override variables, "
        "and variables override the file. Exits with 0 when stopped, 1 when it cannot run, 2 on bad arguments.",
        allow_abbrev=False,
    )
    add_settings(parser, node=True)
    parser.add_argument("--show-config", action="store_true", help="print each setting with its source, and exit")
    return parser


def run(options: argparse.Namespace, resolved: Resolved, log: Log) -> int:
    """Run the command and return its exit code."""
    if options.show_config:
        print_lines(*config_lines(resolved))
        return OK
    if sys.platform != "win32":
        # Until the process ends: a hangup kills the node neither while it starts nor while it stops.
        signal.signal(signal.SIGHUP, lambda number, frame: log.reopen())
    try:
        with quit_on_interrupt():  # until the node itself waits for signals
            anyio.run(run_daemon, resolved)
    except CannotRun as error:
        log.close()  # its lines come before this one
        print_error(f"ziggurat node: {error}")
        return FAILED
    return OK


def config_lines(resolved: Resolved) -> list[str]:
    """Return a line of TOML per setting, with its source as a comment; secrets are masked."""
    settings = resolved.settings
    derived = {
        **dict.fromkeys(PROXY_SETTINGS, "none" if settings.proxy is None else str(settings.proxy)),
        "listen": [str(address) for address in settings.listen_addresses],
        "appdir": str(settings.appdir),
        "logdir": "" if settings.log_directory is None else str(settings.log_directory),
        "netsuffix": 10,
        "outpeers": settings.outpeers,
        "maxinpeers": settings.maxinpeers,
        "maxinpeersperaddr": settings.maxinpeersperaddr,
        "loglevel": settings.loglevel,
        "log-format": settings.log_format,
    }
    shown = next((name for name in PROXY_SETTINGS if name in resolved.values), PROXY_SETTINGS[0])
    lines: list[str] = []
    for option in OPTIONS:
        given = resolved.values.get(option.name)
        if option.name in PROXY_SETTINGS and option.name != shown:
            continue  # two names of one setting
        if given is None or option.name in {*PROXY_SETTINGS, "appdir"}:
            empty: object = False if option.read is None else [] if option.many else ""
            value = derived.get(option.name, empty)
        elif isinstance(given, tuple):
            value = [option.mask(text) for text in given]
        else:
            value = int(given) if option.number else option.mask(given) if isinstance(given, str) else given
        lines.append(f"{option.name} = {_toml(value)}  # {fold(resolved.sources[option.name])}")
    lines += [
        f"# {way_text(network, way, shown, randomized=settings.ways.randomizes(way))}"
        for network, way in settings.ways.table()
    ]
    lines += [f"# {fold(text)}" for text in resolved.ineffective]
    lines += [f"# {name}: ignored; it has no effect here" for name in resolved.ignored_settings]
    return lines + [f"# {name}: ignored; set a proxy with proxy or socks5-proxy" for name in resolved.ignored_variables]


def way_text(network: str, way: Way, general: str, *, randomized: bool) -> str:
    """Return a line of the table of ways: what serves a network, by which setting, and who resolves names.

    For a SOCKS5 proxy it says whether each dial has credentials of its own, and so in Tor a circuit of its own.

    Args:
        network: the network.
        way: its way.
        general: the name under which the general proxy was given.
        randomized: whether each dial offers new credentials.
    """
    if way.refusal is not None:
        return fold(f"{network}: refused: {way.refusal}")
    resolved = f", resolved by {way.resolver}" if network == "names" else ""
    isolated = f", credentials {'' if randomized else 'not '}randomized" if way.proxy and way.proxy.is_socks5 else ""
    return f"{network}: {way}{isolated}{resolved} ({general if way.setting == PROXY_SETTINGS[0] else way.setting})"


def _toml(value: object) -> str:
    # JSON is valid TOML for these types, except for DEL, and for surrogates, which stand for bytes
    # of a path that are not UTF-8.
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
    return text.replace("\x7f", "\\u007f")

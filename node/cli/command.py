"""The command ``ziggurat``: results on stdout, log lines on stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ziggurat.node.cli.commands import demo, node, peers, probe
from ziggurat.node.cli.exit_code import FAILED, INTERRUPTED, USAGE
from ziggurat.node.cli.log import configure_log
from ziggurat.node.cli.terminal import open_streams, print_error
from ziggurat.node.config import SettingsError, resolve
from ziggurat.services.version import version

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; ``None`` uses ``sys.argv``. Bad arguments raise `SystemExit`."""
    open_streams()
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except SettingsError as error:
        print_error(f"ziggurat {options.command}: {error}")
        raise SystemExit(USAGE) from None
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader is gone (``| head``). Python must not flush to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _run(options: argparse.Namespace) -> int:
    if options.command == "demo":
        configure_log(options.log_format)
        return demo.run(options)
    resolved = resolve(options, os.environ)
    settings = resolved.settings
    runs = options.command == "node" and not options.show_config
    try:
        close_log = configure_log(settings.log_format, settings.loglevel, settings.log_directory if runs else None)
    except OSError as error:
        print_error(f"ziggurat node: cannot write log files to {settings.log_directory}: {error.strerror}")
        return FAILED
    commands = {"node": node.run, "peers": peers.run, "probe": probe.run}
    try:
        return commands[str(options.command)](options, resolved)
    finally:
        close_log()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ziggurat",
        description="A Kaspa P2P node. All its outbound connections go through one stack of layers.",
        epilog="Results go to stdout, log lines to stderr. NO_COLOR is respected.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"ziggurat {version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="command", dest="command")
    for command in (demo, node, probe, peers):
        command.add_parser(commands)
    return parser

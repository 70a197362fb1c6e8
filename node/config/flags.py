"""The settings as command line flags."""

from __future__ import annotations

import argparse

from ziggurat.node.config.options import IGNORED_FLAGS, IGNORED_VALUES, OPTIONS, RawValue

__all__ = ["IGNORED_DEST", "add_settings", "read_flags"]

IGNORED_DEST = "ignored_settings"
"""Where the namespace keeps the flags of kaspad's that mean nothing here."""


def add_settings(parser: argparse.ArgumentParser, *, node: bool) -> None:
    """Add the flags of all settings, or with ``node=False`` of those that a command has that only dials.

    What is not given is not in the namespace, so that a flag and its default can be told apart.
    """
    for option in OPTIONS:
        if option.node_only and not node:
            continue
        names = [f"--{option.name}", *([f"--{option.alias}"] if option.alias else [])]
        names += [f"-{option.short}"] if option.short else []
        add = parser.add_argument
        if option.read is None:
            add(*names, dest=option.field, action="store_true", default=argparse.SUPPRESS, help=option.help)
        else:
            action = "append" if option.many else "store"
            metavar = option.name.rpartition("-")[2].upper()
            add(*names, dest=option.field, action=action, default=argparse.SUPPRESS, metavar=metavar, help=option.help)
    for name in (*IGNORED_FLAGS, *IGNORED_VALUES) if node else ():
        # Some of kaspad's have a value that can be left out; an unknown flag is still refused.
        nargs = 0 if name in IGNORED_FLAGS else "?"
        names = [f"--{name}", *(["-t"] if name == "async-threads" else [])]
        parser.add_argument(
            *names,
            dest=IGNORED_DEST,
            action=_RecordIgnored,
            nargs=nargs,
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS,
        )


class _RecordIgnored(argparse.Action):
    """Remember the name of a flag, and forget its value."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, []), option])


def read_flags(options: argparse.Namespace) -> dict[str, tuple[str, RawValue]]:
    """Return what was given: by the option's name, the flag and its value."""
    given: dict[str, tuple[str, RawValue]] = {}
    for option in OPTIONS:
        value = getattr(options, option.field, None)
        if value is not None:
            given[option.name] = f"--{option.name}", tuple(value) if option.many else value
    return given

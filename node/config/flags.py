"""The settings as command line flags."""

from __future__ import annotations

import argparse

from ziggurat.node.config.options import IGNORED_FLAGS, IGNORED_VALUES, OPTIONS, Option, RawValue

__all__ = ["IGNORED_DEST", "add_settings", "read_flags"]

IGNORED_DEST = "ignored_settings"
"""The namespace attribute that lists the kaspad flags which were given and have no effect here."""


def add_settings(parser: argparse.ArgumentParser, *, node: bool) -> None:
    """Add a flag for each setting; with ``node=False`` only those of a command that only dials.

    Flags that are not given are absent from the namespace, to distinguish them from defaults.
    """
    for option in OPTIONS:
        if option.node_only and not node:
            continue
        names = [f"--{option.name}", *([f"-{option.short}"] if option.short else [])]
        add = parser.add_argument
        if option.read is None:
            add(*names, dest=option.field, action="store_true", default=argparse.SUPPRESS, help=option.help)
        else:
            metavar = option.metavar or option.name.rpartition("-")[2].upper()
            text = "; ".join(filter(None, (option.help, _syntax(option), "can be repeated" if option.many else "")))
            action = "append" if option.many else _StoreOnce
            add(*names, dest=option.field, action=action, default=argparse.SUPPRESS, metavar=metavar, help=text)
    for name in (*IGNORED_FLAGS, *IGNORED_VALUES) if node else ():
        # For some of kaspad's flags the value is optional. Unknown flags are still rejected.
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


def _syntax(option: Option) -> str:
    """Return what ``-h`` adds about the value."""
    return "" if option.metavar else option.expected


class _StoreOnce(argparse.Action):
    """Stores a value, and refuses a second one, as kaspad does: dropping one silently would surprise its user."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        if hasattr(namespace, self.dest):
            raise argparse.ArgumentError(self, "given more than once")
        setattr(namespace, self.dest, values)


class _RecordIgnored(argparse.Action):
    """Records the name of a flag and drops its value."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, []), option])


def read_flags(options: argparse.Namespace) -> dict[str, tuple[str, RawValue]]:
    """Return the flags that were given: the flag's name and its value, by option name."""
    given: dict[str, tuple[str, RawValue]] = {}
    for option in OPTIONS:
        value = getattr(options, option.field, None)
        if value is not None:
            given[option.name] = f"--{option.name}", tuple(value) if option.many else value
    return given

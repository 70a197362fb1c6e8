"""What describes one setting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ziggurat.node.config.networks import Network

__all__ = ["Option", "RawValue"]

RawValue: TypeAlias = str | bool | tuple[str, ...]
"""The unparsed value of a setting: text, a boolean for a switch, or all texts of a repeatable setting."""


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    Attributes:
        name: the key in a file; the flag is the same with ``--`` in front.
        help: the help text for ``-h``.
        read: the parser of one text, given the network; ``None`` for a switch.
        expected: the expected syntax, for error messages.
        metavar: the syntax in a word, for ``-h``; without it ``-h`` says what is ``expected``.
        many: whether the setting can be repeated.
        single: whether a file may also hold one string instead of a list, as in kaspad's.
        number: whether the value is an integer in a file.
        short: a one-letter flag.
        kaspad: the kaspad variable to use if ours is not set. Only settings of the network and its peers have one:
            a kaspad on the same machine has its own directories, ports and names.
        node_only: whether commands that only dial lack the setting.
        in_file: whether a configuration file may contain it.
        mask: a function that removes secrets from a text.
    """

    name: str
    help: str
    read: Callable[[str, Network], object] | None = None
    expected: str = ""
    metavar: str = ""
    many: bool = False
    single: bool = False
    number: bool = False
    short: str | None = None
    kaspad: str | None = None
    node_only: bool = True
    in_file: bool = True
    mask: Callable[[str], str] = str

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return f"ZIGGURAT_{self.name.replace('-', '_').upper()}"

    @property
    def field(self) -> str:
        """The name of its field in `Settings`."""
        return self.name.replace("-", "_")

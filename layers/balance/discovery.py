"""What changes the endpoints of a balance: `Insert` and `Remove`, from an async iterator of the user's.

The iterator watches DNS, a registry or a file. It decides itself when to try again after an error: if it raises, the
balance goes on with the endpoints that it knows.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeAlias

from ziggurat.layers.layer import check_connector
from ziggurat.services.service import Connector

__all__ = ["Change", "Insert", "Remove"]


@dataclass(frozen=True, slots=True)
class Insert:
    """Add an endpoint, or replace the one with that key.

    A dial under way to a replaced endpoint goes on. If the new connector equals the old one, nothing changes: whoever
    reads a list anew may insert all of it.

    Args:
        key: names the endpoint in errors, ledgers and logs; must be hashable.
        connector: dials it.

    Raises:
        TypeError: ``connector`` is none, or ``key`` cannot be hashed.
    """

    key: Hashable
    connector: Connector

    def __post_init__(self) -> None:
        hash(self.key)
        check_connector(self.connector)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the endpoint with that key, if there is one. Dials under way and open streams are left alone."""

    key: Hashable


Change: TypeAlias = Insert | Remove

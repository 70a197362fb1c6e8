"""Names with fixed addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from ziggurat.services.errors import ResolveError
from ziggurat.services.resolver import Resolver
from ziggurat.services.uri import Uri

__all__ = ["StaticHosts"]


@dataclass(frozen=True, slots=True)
class StaticHosts:
    """A `Resolver` with a table, as in ``/etc/hosts``.

    Args:
        hosts: the IP address of each name, or several in the order in which to try them. The names are compared as
            `Uri` writes them: lower case, IDNA, and without a trailing dot.
        otherwise: the resolver of all other names, e.g. ``SystemResolver()``; ``None`` if there are none.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    hosts: Mapping[str, str | Sequence[str]] = field(hash=False)
    otherwise: Resolver | None = None

    def __post_init__(self) -> None:
        table = {_name(name): _addresses(name, given) for name, given in self.hosts.items()}
        object.__setattr__(self, "hosts", table)
        if self.otherwise is not None and not callable(self.otherwise):
            raise TypeError(f"otherwise must be a resolver or None, not {self.otherwise!r}")

    async def __call__(self, host: str, /) -> list[str]:
        """Return the addresses of a name.

        Raises:
            ResolveError: the name is not in the table, and there is no other resolver; or what that one raises.
        """
        found = self.hosts.get(host.lower().removesuffix("."))
        if found is not None:
            return list(found)
        if self.otherwise is None:
            raise ResolveError(f"{host}: not among the static hosts", hint="check the name", transient=False)
        return list(await self.otherwise(host))


def _name(name: str) -> str:
    try:
        uri = Uri("tcp", name, 1)
    except ValueError as error:
        raise ValueError(f"hosts: {error}") from error
    if uri.is_literal:
        raise ValueError(f"hosts: {name!r} is an address, which is never looked up")
    return uri.host.removesuffix(".")


def _addresses(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    addresses = (given,) if isinstance(given, str) else tuple(given)
    if not addresses:
        raise ValueError(f"hosts: {name!r} has no address")
    for address in addresses:
        try:
            ip_address(address)
        except ValueError as error:
            raise ValueError(f"hosts: {address!r}, of {name!r}, is not an IP address") from error
    return addresses

"""A connector that dials one address, whatever it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.layers.layer import check_connector
from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri, split_authority

__all__ = ["Redirect", "redirects"]


@dataclass(frozen=True, slots=True)
class Redirect:
    """A connector that dials one address, whatever it is asked for; equal to another of the same address.

    The dial keeps its target. TLS belongs above it, where it verifies the target's name and not that of the address.

    Args:
        connector: dials the address.
        address: ``host:port``, ``unix:path`` or a `Uri`.

    Raises:
        TypeError: ``connector`` is no connector.
        ValueError: ``address`` is wrong.
    """

    connector: Connector
    address: str | Uri

    def __post_init__(self) -> None:
        check_connector(self.connector)
        object.__setattr__(self, "address", _parsed(self.address))

    @property
    def uri(self) -> Uri:
        """The address."""
        assert isinstance(self.address, Uri)
        return self.address

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial the address."""
        with dial(uri) as current:
            return current.established(await self.connector(self.uri))

    def __repr__(self) -> str:
        return f"Redirect({self.uri.authority} > {self.connector!r})"


def redirects(connector: Connector, addresses: Iterable[str | Uri]) -> dict[str, Redirect]:
    """Return a `Redirect` for each address, by its ``host:port``: the endpoints of a `Balance` over addresses.

    Raises:
        TypeError: ``connector`` is no connector, or ``addresses`` is a string.
        ValueError: an address is wrong.
    """
    if isinstance(addresses, str):
        raise TypeError(f"addresses must be a list of them, not {addresses!r}: write [{addresses!r}]")
    made = (Redirect(connector, address) for address in addresses)
    return {each.uri.authority: each for each in made}


def _parsed(address: str | Uri) -> Uri:
    if isinstance(address, Uri):
        return address
    if address.startswith("unix:") or "://" in address:
        return Uri.parse(address)
    host, port = split_authority(address)
    if port is None:
        raise ValueError(f"the address {address!r} has no port: write {address + ':443'!r}")
    return Uri("tcp", host, port)

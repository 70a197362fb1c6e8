"""Dial directly, and say so."""

from __future__ import annotations

from dataclasses import dataclass

from anyio.abc import ByteStream

from ziggurat.services.dial import dial
from ziggurat.services.service import Connector
from ziggurat.services.silently_direct import direct_on_purpose
from ziggurat.services.uri import Uri

__all__ = ["Direct", "DirectLayer"]


@dataclass(frozen=True, slots=True)
class DirectLayer:
    """Wraps a connector in `Direct`: the dial goes directly on purpose, whatever the proxy variables say.

    It changes nothing but one thing: the leaf does not warn that ``HTTPS_PROXY`` or another such variable is set while
    nothing in the stack obeys it.
    """

    def layer(self, inner: Connector, /) -> Connector:
        return Direct(inner)


@dataclass(frozen=True, slots=True)
class Direct:
    """Marks its dials as direct on purpose."""

    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial ``uri`` through ``inner``."""
        with dial(uri) as current, direct_on_purpose():
            return current.established(await self.inner(uri))

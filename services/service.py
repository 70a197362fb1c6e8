"""What answers a request: any async callable.

A plain ``async def`` is a service; there is nothing to inherit from. `Service` exists for type checkers, and
`service_fn` for people who read a ``repr``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeAlias, TypeVar

from anyio.abc import ByteStream

from ziggurat.services.uri import Uri

Req = TypeVar("Req")
Res = TypeVar("Res")
Req_contra = TypeVar("Req_contra", contravariant=True)
Res_co = TypeVar("Res_co", covariant=True)

__all__ = ["Connector", "Service", "ServiceFn", "service_fn"]


class Service(Protocol[Req_contra, Res_co]):
    """``await service(request)``. Cancelling the await must free everything that the call took."""

    def __call__(self, request: Req_contra, /) -> Awaitable[Res_co]:
        """Answer one request."""
        ...


Connector: TypeAlias = Service[Uri, ByteStream]
"""A service that answers a `Uri` with an open anyio ``ByteStream``. Its answer is a resource: who gets it closes it."""


class ServiceFn(Generic[Req, Res]):
    """An async function with a name that reads well in a stack's ``repr``; made by `service_fn`."""

    __slots__ = ("_function", "_name")

    def __init__(self, function: Callable[[Req], Awaitable[Res]], name: str) -> None:
        self._function = function
        self._name = name

    def __call__(self, request: Req, /) -> Awaitable[Res]:
        return self._function(request)

    def __repr__(self) -> str:
        return self._name


def service_fn(function: Callable[[Req], Awaitable[Res]], name: str | None = None) -> ServiceFn[Req, Res]:
    """Give an async function a short ``repr``.

    Args:
        function: any async callable of one argument. It is called as it is.
        name: what ``repr`` prints; ``None`` takes the function's own name.

    Raises:
        TypeError: ``function`` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"service_fn takes an async callable, not {function!r}")
    return ServiceFn(function, name or str(getattr(function, "__qualname__", repr(function))))

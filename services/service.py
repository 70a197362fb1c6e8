"""Services: async callables of one request.

A plain ``async def`` is a service; there is nothing to inherit from. `Service` is for type checkers, and `service_fn`
gives a function a readable ``repr``.
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
    """``await service(request)``. A cancelled call must free everything that it acquired."""

    def __call__(self, request: Req_contra, /) -> Awaitable[Res_co]:
        """Serve one request."""
        ...


Connector: TypeAlias = Service[Uri, ByteStream]
"""A service that dials a `Uri` and returns an open anyio ``ByteStream``, which the caller must close."""


class ServiceFn(Generic[Req, Res]):
    """An async function with a readable ``repr``; made by `service_fn`."""

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
        function: any async callable of one argument.
        name: the ``repr``; ``None`` for the function's own name.

    Raises:
        TypeError: ``function`` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"service_fn takes an async callable, not {function!r}")
    return ServiceFn(function, name or str(getattr(function, "__qualname__", repr(function))))

"""A connector that does not exist yet, e.g. until Tor has bootstrapped."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import ByteStream

from ziggurat.layers.function import name_of
from ziggurat.layers.layer import check_connector
from ziggurat.services.attempt import current_attempt
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError, copy_error
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["Deferred", "deferred"]


class Deferred:
    """A connector that is awaited once and then used; made by `deferred`.

    The first dial runs the function, in phase ``deferred``, and dials that come meanwhile wait for it. If that first
    dial is cancelled, the function is, too, and one of the waiting dials starts it again.
    """

    __slots__ = ("_connector", "_make", "_name", "_once", "_run")

    def __init__(self, make: Callable[[], Awaitable[Connector]], name: str, *, once: bool) -> None:
        self._make = make
        self._name = name
        self._once = once
        self._connector: Connector | None = None
        self._run: _Run | None = None

    @property
    def ready(self) -> bool:
        """Whether the connector is there, so that a dial does not wait for it."""
        return self._connector is not None

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through the connector, once it is there.

        Raises:
            ConnectError: the function raised it, or raised something else, which is then the cause. Each dial that
                waited gets a copy of its own.
        """
        with dial(uri) as current:
            if self._connector is None:
                with phase("deferred"):
                    await self._wait()
            assert self._connector is not None
            return current.established(await self._connector(uri))

    async def _wait(self) -> None:
        while self._connector is None:
            run = self._run
            if run is None:
                await self._start()
                continue
            await run.ended.wait()
            if run.error is not None:
                try:
                    raise copy_error(run.error)
                finally:
                    del run  # it has the error's cause, whose traceback may have this frame

    async def _start(self) -> None:
        """Await the function in this dial's task, but outside of the dial: what it dials is a dial of its own."""
        run = self._run = _Run()
        token = current_attempt.set(None)
        try:
            connector = await self._make()
            check_connector(connector)
            self._connector = connector
        except Exception as error:
            failure = error if isinstance(error, ConnectError) else self._failure(f"{type(error).__name__}: {error}")
            run.error = copy_error(failure)
            if failure is error:
                raise
            run.error.__cause__ = error
            raise failure from error
        except BaseException:
            if self._once:
                run.error = self._failure("it was cancelled with the dial that awaited it")
            raise
        finally:
            current_attempt.reset(token)
            if run.error is None or not self._once:
                self._run = None
            run.ended.set()
            failure = run = None  # type: ignore[assignment]  # this frame is in the tracebacks of both

    def _failure(self, text: str) -> ConnectError:
        hint = "pass the async function itself, which is called again after a failure" if self._once else None
        return ConnectError(f"{self._name}: {text}", hint=hint)

    def __repr__(self) -> str:
        return f"deferred({self._connector!r})" if self._connector is not None else f"deferred({self._name})"


class _Run:
    __slots__ = ("ended", "error")

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.error: ConnectError | None = None


def deferred(connector: Callable[[], Awaitable[Connector]] | Awaitable[Connector], name: str | None = None) -> Deferred:
    """Make a connector of one that has to be awaited: the first dial awaits it, and all dials use it from then on.

    Args:
        connector: an async function that returns the connector. If it fails, dials that wait for it fail, too, and the
            next dial calls it again. Or an awaitable, which can be awaited once: its failure is final, and so is the
            cancellation of the dial that awaits it.
        name: the ``repr``, and the name in an error; ``None`` for the function's own name.

    Raises:
        TypeError: ``connector`` is neither.
    """
    if inspect.isawaitable(connector):
        awaitable = connector

        async def make() -> Connector:
            return await awaitable

        return Deferred(make, name or name_of(awaitable), once=True)
    if not callable(connector):
        raise TypeError(
            f"deferred takes an async function that returns a connector, or an awaitable, not {connector!r}"
        )
    return Deferred(connector, name or name_of(connector), once=False)

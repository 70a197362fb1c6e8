"""A connector over several endpoints."""

from __future__ import annotations

import random
from collections.abc import AsyncIterable, Callable, Hashable, Iterable, Mapping
from types import TracebackType
from typing import TypeVar, cast

from anyio.abc import ByteStream

from ziggurat.layers.all_failed import all_failed
from ziggurat.layers.background import Background
from ziggurat.layers.balance.discovery import Change, Insert
from ziggurat.layers.balance.feed import Feed
from ziggurat.layers.balance.load import Load, PeakEwma
from ziggurat.layers.balance.member import Member, MemberState
from ziggurat.layers.balance.members import Members
from ziggurat.layers.balance.refusal import none_usable
from ziggurat.services.backoff import Backoff
from ziggurat.services.dial import Dial, dial, phase
from ziggurat.services.errors import ConnectError, LimitExceeded, RouteRefused
from ziggurat.services.phase import label
from ziggurat.services.remark import Remark, remarks_of_each
from ziggurat.services.service import Connector
from ziggurat.services.stream import observed
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_bool, check_seconds

__all__ = ["Balance", "endpoint_failed"]

K = TypeVar("K", bound=Hashable)

SHOWN = 4
"""Keys in a ``repr``."""


def endpoint_failed(error: Exception) -> bool:
    """Return whether ``error`` tells against the endpoint: a failed dial does, a limit, a route or a bug does not."""
    return isinstance(error, OSError) and not isinstance(error, (LimitExceeded, RouteRefused))


class Balance:
    """A connector that dials one of several endpoints: the less loaded of two that it draws at random.

    An endpoint that fails is not dialled for a time that grows with each failure. Then one dial tries it, and only when
    that has succeeded others follow, two, four, eight at once, so that a server that has just started is not flooded.
    If a dial fails, it goes on with another endpoint, each once.

    Given an async iterator, a balance is an async context manager that runs it beside its block::

        async with Balance(watch_registry()) as balance:
            await balance(uri)

    Args:
        endpoints: connectors by key; or connectors alone, whose keys are 0, 1, 2 and so on; or an async iterator of
            `Insert` and `Remove`. ``insert()`` and ``remove()`` change them, too.
        load: what is compared, `PeakEwma` or `PendingLoad`, or a kind of your own.
        backoff: how long an endpoint that has failed is left alone.
        max_wait: seconds that a dial waits (phase ``admission``) while there is no endpoint, or while all of them have
            failed; 0.0 does not wait, ``None`` has no limit.
        failover: whether a dial goes on with another endpoint after one has failed.
        is_failure: whether an error tells against the endpoint; by default every `OSError` (a `ConnectError` is one)
            but `LimitExceeded` and `RouteRefused`. If each endpoint is a way through a proxy, pass a function that
            leaves out what a proxy says about a dead target, or that target takes all proxies out of use.
        rng: function that returns a number from 0.0 to 1.0; for tests.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    __slots__ = ("_background", "_backoff", "_failover", "_feed", "_is_failure", "_load", "_max_wait", "_members")

    def __init__(
        self,
        endpoints: Mapping[K, Connector] | Iterable[Connector] | AsyncIterable[Change] = (),
        *,
        load: Load | None = None,
        backoff: Backoff | None = None,
        max_wait: float | None = 10.0,
        failover: bool = True,
        is_failure: Callable[[Exception], bool] = endpoint_failed,
        rng: Callable[[], float] = random.random,
    ) -> None:
        check_seconds("max_wait", max_wait, zero=True)
        check_bool("failover", failover)
        self._load = PeakEwma() if load is None else load
        self._backoff = Backoff() if backoff is None else backoff
        self._max_wait = max_wait
        self._failover = failover
        self._is_failure = is_failure
        self._members = Members(self._load, rng)
        self._feed: Feed | None = None
        self._background: Background | None = None
        if isinstance(endpoints, AsyncIterable):
            self._feed = Feed(endpoints, self._members)
        elif isinstance(endpoints, Mapping):
            for key, connector in cast("Mapping[K, Connector]", endpoints).items():
                self.insert(key, connector)
        else:
            for number, connector in enumerate(endpoints):
                self.insert(number, connector)

    def insert(self, key: Hashable, connector: Connector) -> None:
        """Add an endpoint, or replace the one with that key; as `Insert` does.

        Raises:
            TypeError: ``connector`` is none, or ``key`` cannot be hashed.
        """
        change = Insert(key, connector)
        self._members.insert(change.key, change.connector)

    def remove(self, key: Hashable) -> None:
        """Remove the endpoint with that key, if there is one; as `Remove` does."""
        self._members.remove(key)

    @property
    def endpoints(self) -> dict[Hashable, MemberState]:
        """The state of each endpoint, by key.

        Raises:
            RuntimeError: dials are under way on another event loop.
        """
        self._members.on_this_loop()
        now = self._members.clock()
        return {member.key: member.state(now) for member in self._members.all()}

    @property
    def feed_error(self) -> Exception | None:
        """What the async iterator raised; ``None`` if it has not, or if there is none."""
        return None if self._feed is None else self._feed.error

    async def __aenter__(self) -> Balance:
        """Run the async iterator, if there is one, until the block ends. The endpoints stay after that.

        Raises:
            RuntimeError: it is running already.
        """
        if self._background is not None:
            raise RuntimeError("the balance is already running: enter it once")
        self._members.on_this_loop()
        background = Background()
        await background.__aenter__()
        self._background = background
        if self._feed is not None:
            background.start(self._feed.run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._background is not None
        background, self._background = self._background, None
        return await background.__aexit__(kind, error, trace)

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial ``uri`` through one of the endpoints.

        Raises:
            NoEndpoints: none could be dialled within ``max_wait`` (phase ``admission``).
            AllFailed: several endpoints failed.
            ConnectError: the only endpoint that could be dialled failed; the error is its own.
            RuntimeError: the balance has an async iterator and was never entered, or is in use on another event loop.
        """
        with dial(uri) as current:
            members = self._members
            members.on_this_loop()
            member = members.choose(members.clock())
            if member is None:
                with phase("admission"):
                    member = await self._wait()
            errors: list[ConnectError] = []
            try:
                return current.established(await self._dial_one(member, uri, current, errors))
            finally:
                errors.clear()  # their tracebacks refer to this frame: a cycle

    async def _dial_one(self, member: Member, uri: Uri, current: Dial, errors: list[ConnectError]) -> ByteStream:
        members, tried = self._members, [member]
        while True:
            try:
                return await self._dial(member, uri, current)
            except ConnectError as error:
                errors.append(error)
            other = members.choose(members.clock(), tried) if self._failover else None
            if other is None:
                break
            tried.append(member := other)
        if len(errors) == 1:
            raise errors[0]
        raise all_failed(f"{len(errors)} endpoints", errors) from errors[-1]

    async def _dial(self, member: Member, uri: Uri, current: Dial) -> ByteStream:
        members = self._members
        token = member.began(members.clock())
        try:
            with label(branch=str(member.key)), current.trial():
                stream = await member.connector(uri)
        except Exception as error:
            start = member.ended(token)
            if self._is_failure(error):
                member.failed(start, members.clock(), error, self._backoff)
            raise
        except BaseException:
            member.cancelled(token, members.clock())
            raise
        else:
            ended = member.succeeded(token, members.clock())
        finally:
            members.change()
        ours = observed(stream)
        member.opened()
        ours.on_close(member.closed)

        def settle(error: BaseException | None) -> None:
            if isinstance(error, Exception) and self._is_failure(error):
                member.failed_later(members.clock(), ended, error, self._backoff)

        current.on_outcome(settle)
        return ours

    async def _wait(self) -> Member:
        members, feed = self._members, self._feed
        if feed is not None and not feed.started and self._background is None and not members.all():
            raise RuntimeError("the balance does not read its endpoints: use it inside `async with balance:`")
        end = None if self._max_wait is None else members.clock() + self._max_wait
        while True:
            now = members.clock()
            if (member := members.choose(now)) is not None:
                return member
            back = members.back_at()
            late = back is not None and end is not None and back > end and not members.probing
            if late or (end is not None and now >= end):
                raise none_usable(members.all(), now, self._max_wait, feed)
            await members.changed(min((time for time in (back, end) if time is not None), default=None))

    def remarks(self, target: Uri, /) -> list[Remark]:
        """Return what the endpoints say about a dial of ``target``, with their keys."""
        return remarks_of_each({member.key: member.connector for member in self._members.all()}, target)

    def __repr__(self) -> str:
        keys = [str(member.key) for member in self._members.all()]
        more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
        return f"Balance({', '.join(keys[:SHOWN]) or 'no endpoint'}{more}; {self._load!r}, max_wait={self._max_wait!r})"

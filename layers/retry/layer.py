"""Dial again after a failure, by a policy; all attempts stand in one ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import anyio
from anyio.abc import ByteStream

from ziggurat.layers.all_failed import all_failed
from ziggurat.layers.retry.policy import RetryPolicy
from ziggurat.services.clock import running_clock
from ziggurat.services.dial import Dial, dial, phase
from ziggurat.services.errors import ConnectError
from ziggurat.services.phase import label
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["Retry", "RetryLayer"]


@dataclass(frozen=True, slots=True)
class RetryLayer:
    """Wraps a connector in `Retry` (phase ``retry.wait``).

    A layer above it sees one dial, a layer below it one for each attempt. A limit on the number of dials belongs below
    it, or an attempt that waits for the next one holds its permit.

    Args:
        policy: when to dial again.

    Raises:
        TypeError: ``policy`` is not one.
    """

    policy: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.policy), RetryPolicy):
            raise TypeError(f"policy must be a RetryPolicy, not {self.policy!r}")

    def layer(self, inner: Connector, /) -> Connector:
        return Retry(self, inner)


@dataclass(frozen=True, slots=True)
class Retry:
    """Dials again after a `ConnectError` for as long as the policy says.

    Other exceptions, `LeakError` and cancellation among them, end the dial at once and pass through.
    """

    config: RetryLayer
    inner: Connector

    async def __call__(self, uri: Uri, /) -> ByteStream:
        """Dial through ``inner``, if need be several times.

        Raises:
            ConnectError: there was one attempt; its error.
            AllFailed: there were several; ``errors`` has the error of each, the last one is also the ``__cause__``.
        """
        errors: list[ConnectError] = []
        try:
            with dial(uri) as current:
                return current.established(await self._dial(uri, current, errors))
        finally:
            errors.clear()  # their tracebacks refer to this frame: a cycle

    async def _dial(self, uri: Uri, current: Dial, errors: list[ConnectError]) -> ByteStream:
        clock = running_clock()
        start = clock()
        while True:
            try:
                with label(attempt=len(errors) + 1), current.trial():
                    stream = await self.inner(uri)
            except ConnectError as error:
                errors.append(error)
            else:
                if self.config.policy.budget is not None:
                    current.on_outcome(self.config.policy.budget.ended)
                return stream
            if not await self._wait(current, errors, clock() - start):
                break
        if len(errors) == 1:
            raise errors[0]
        raise all_failed(f"{len(errors)} attempts", errors) from errors[-1]

    async def _wait(self, current: Dial, errors: list[ConnectError], elapsed: float) -> bool:
        """Wait for the next attempt; return whether there is to be one."""
        policy = self.config.policy
        delay = policy.delay(errors, elapsed)
        if delay is None:
            return False
        # Taken before the wait: of a thousand dials that fail together, all would find a full budget after it.
        if policy.budget is not None and not policy.budget.withdraw():
            current.ledger.note("retry.wait", "no other attempt: the retry budget is used up")
            return False
        try:
            with phase("retry.wait", limit=None if policy.within is None else policy.within - elapsed) as entry:
                entry.hint = f"attempt {len(errors)} failed: {errors[-1].message}"
                await anyio.sleep(delay)
        except BaseException:
            if policy.budget is not None:
                policy.budget.refund()
            raise
        return True

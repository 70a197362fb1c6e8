"""Run dials side by side until the first one succeeds; every other one is cancelled, and its stream closed.

A task that is cancelled may already have its stream: two dials can end in the same cycle of the event loop, and a
caller can be cancelled in the very cycle in which a dial ends. Of the streams that were opened exactly one survives, or
none if this function raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
from anyio.abc import ByteStream

from ziggurat.layers.all_failed import all_failed
from ziggurat.services.dial import Dial
from ziggurat.services.errors import ConnectError
from ziggurat.services.phase import label
from ziggurat.services.service import Connector
from ziggurat.services.stream import closing_on_error
from ziggurat.services.uri import Uri

__all__ = ["first_success"]


def _always(failures: int) -> bool:
    return True


async def first_success(
    current: Dial,
    uri: Uri,
    branches: Sequence[tuple[str, Connector]],
    delay: float,
    *,
    start_next: Callable[[int], bool] = _always,
) -> ByteStream:
    """Dial ``uri`` through each branch, the next one after a delay or a failure, and return the first stream.

    Args:
        current: the dial that the branches are part of.
        uri: the target.
        branches: name and connector of each, at least one.
        delay: seconds before the next branch starts; earlier if the one before it fails.
        start_next: returns whether to start another branch, given the number of those that have failed.

    Raises:
        ConnectError: one branch was started; its error.
        AllFailed: several were started, and all failed.
        Exception: a branch raised something other than a `ConnectError`, which ends the race.
    """
    race = _Race(current, uri)
    try:
        async with anyio.create_task_group() as tasks:
            for position, (name, connector) in enumerate(branches):
                # A branch may have won in the cycle in which the delay ended (trio #632).
                if position and (race.decided or not start_next(len(race.errors))):
                    break
                ended = anyio.Event()
                tasks.start_soon(race.run, name, connector, ended, tasks.cancel_scope)
                if position < len(branches) - 1:
                    with anyio.move_on_after(delay):
                        await ended.wait()
        return race.result()
    except BaseException:
        if race.winner is not None:
            async with closing_on_error(race.winner):
                raise
        raise
    finally:
        race.forget()


class _Race:
    """The branches of one dial, and how they ended."""

    def __init__(self, current: Dial, uri: Uri) -> None:
        self.current = current
        self.uri = uri
        self.winner: ByteStream | None = None
        self.errors: list[ConnectError] = []
        self.names: list[str] = []  # of the branches that failed
        self.fatal: Exception | None = None

    @property
    def decided(self) -> bool:
        return self.winner is not None or self.fatal is not None

    async def run(self, name: str, connector: Connector, ended: anyio.Event, scope: anyio.CancelScope) -> None:
        """Dial through one branch; called in a task of its own."""
        try:
            with label(branch=name), self.current.trial():
                stream = await connector(self.uri)
                if self.decided:
                    async with closing_on_error(stream):
                        await anyio.sleep_forever()  # cancelled, like a branch that is still dialling
                self.winner = stream
                scope.cancel()
        except ConnectError as error:
            self.errors.append(error)
            self.names.append(name)
        except Exception as error:
            # A bug or a leak. After a success, a foreign exception only says how this connector takes a cancellation.
            if self.fatal is None and (self.winner is None or isinstance(error, RuntimeError)):
                self.fatal = error
            scope.cancel()
        finally:
            ended.set()

    def result(self) -> ByteStream:
        """Return the winner's stream, or raise what the failures amount to."""
        if self.fatal is not None:
            raise self.fatal
        if self.winner is not None:
            return self.winner
        if len(self.errors) == 1:
            raise self.errors[0]
        raise all_failed(f"{len(self.errors)} branches", self.errors, self.names) from self.errors[-1]

    def forget(self) -> None:
        """Drop all references: the errors' tracebacks refer to frames that refer to this object."""
        self.errors.clear()
        self.winner = self.fatal = None

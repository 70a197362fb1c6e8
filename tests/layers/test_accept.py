"""The accept loop, on real sockets of a process that runs out of descriptors."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator

import anyio
import pytest
from structlog.testing import capture_logs

from ziggurat.layers.accept import BATCH, Room, accept_connections

resource = pytest.importorskip("resource")

pytestmark = [pytest.mark.asyncio_only, pytest.mark.real_io]


@contextlib.contextmanager
def listening(backlog: int = 64) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as one:
        one.setblocking(False)
        yield one


@contextlib.contextmanager
def dialled(to: socket.socket, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(socket.create_connection(to.getsockname())) for _ in range(count)]


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Use up every descriptor that the process may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                used.append(os.dup(0))
        yield
    finally:
        for each in used:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def until(holds: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not holds():  # noqa: ASYNC110  (nothing tells us)
            await anyio.sleep(0.001)


async def test_without_descriptors_it_waits_says_so_once_and_then_accepts_all_that_waited() -> None:
    taken: list[socket.socket] = []
    attempts = 0

    class Counting(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal attempts
            attempts += 1
            return super().accept()

    with capture_logs() as logged, listening() as plain, dialled(plain, 40), contextlib.ExitStack() as accepted:
        counting = accepted.enter_context(Counting(fileno=os.dup(plain.fileno())))
        async with anyio.create_task_group() as tasks:
            with no_descriptor_left():
                tasks.start_soon(lambda: accept_connections(counting, "here", taken.append, pause=0.002))
                await until(lambda: attempts >= 5)
                assert taken == []
            await until(lambda: len(logged) > 1)
            tasks.cancel_scope.cancel()
        for each in taken:
            accepted.enter_context(each)
        assert len(taken) == 40

    paused, resumed = logged
    assert (paused["event"], paused["listen"], paused["log_level"]) == ("listener.paused", "here", "warning")
    assert paused["error"] == os.strerror(errno.EMFILE)
    assert (resumed["event"], resumed["listen"]) == ("listener.resumed", "here")
    assert resumed["elapsed"] > 0


async def test_a_connection_that_was_lost_before_it_was_accepted_is_skipped() -> None:
    errors: list[OSError] = [ConnectionAbortedError(errno.ECONNABORTED, "no"), OSError(errno.EPROTO, "no")]

    class Losing(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            if errors:
                raise errors.pop()
            return super().accept()

    taken: list[socket.socket] = []
    with (
        capture_logs() as logged,
        listening() as plain,
        dialled(plain, 1),
        Losing(fileno=os.dup(plain.fileno())) as one,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept_connections, one, "here", taken.append)
            await until(lambda: taken)
            tasks.cancel_scope.cancel()
        taken[0].close()

    assert logged == []


async def test_other_tasks_run_between_the_batches() -> None:
    taken: list[socket.socket] = []
    seen: list[int] = []
    with listening() as one, dialled(one, 50):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept_connections, one, "here", taken.append)
            with anyio.fail_after(10):
                while len(taken) < 50:
                    await anyio.lowlevel.checkpoint()
                    seen.append(len(taken))
            tasks.cancel_scope.cancel()
        for each in taken:
            each.close()

    assert len(set(seen)) > 3


async def test_a_full_room_lets_others_wait_and_says_so_once() -> None:
    taken: list[socket.socket] = []
    room = Room(2)

    def take(connection: socket.socket) -> None:
        room.take()
        taken.append(connection)

    with capture_logs() as logs, listening() as one, dialled(one, 5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: accept_connections(one, "here", take, room=room))
            await until(lambda: logs)
            assert len(taken) == 2
            for done in (3, 4, 5):
                room.give_back()
                await until(lambda done=done: len(taken) == done)  # type: ignore[misc]
            tasks.cancel_scope.cancel()
    assert [(log["event"], log["error"]) for log in logs] == [("listener.paused", "all 2 connections are in use")]
    for each in taken:
        each.close()


def test_a_room_without_a_limit_has_room_for_a_batch() -> None:
    room = Room(None)
    room.take()
    assert room.left == BATCH

"""What a user of grpclib sees of a call, step by step, on grpclib's channel and on ours.

The server is grpclib's. After each step there is time for all that is under way to arrive. Where the two differ, a rule
says why.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import async_solipsism
import grpclib.client
import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.server import Server
from h2.exceptions import StreamClosedError
from hypothesis import given
from hypothesis import strategies as st

from tests.services.channel.side_by_side import BytesCodec, our_channel, outcome_of, stock_channel

pytestmark = pytest.mark.asyncio_only

CARDINALITIES = {
    "unary": Cardinality.UNARY_UNARY,
    "download": Cardinality.UNARY_STREAM,
    "upload": Cardinality.STREAM_UNARY,
    "talk": Cardinality.STREAM_STREAM,
}

STARTS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "send_request": lambda call: call.send_request(),
    "send_request(end)": lambda call: call.send_request(end=True),
    "send_message": lambda call: call.send_message(b"m"),
    "send_message(end)": lambda call: call.send_message(b"m", end=True),
}
STEPS = {
    **STARTS,
    "end": lambda call: call.end(),
    "cancel": lambda call: call.cancel(),
    "recv_initial_metadata": lambda call: call.recv_initial_metadata(),
    "recv_message": lambda call: call.recv_message(),
    "recv_trailing_metadata": lambda call: call.recv_trailing_metadata(),
}
"""What a user may do with a call. Leaving it is always the last step."""


class Answers:
    """Handlers that answer in different ways, each for every kind of call."""

    async def echo(self, call: Any) -> None:
        """Return all messages, or their number, once they are there."""
        await call.send_initial_metadata(metadata={"initial": "i"})
        count = 0
        async for message in call:
            count += 1
            if call._cardinality.server_streaming:
                await call.send_message(message)
        if not call._cardinality.server_streaming:
            await call.send_message(str(count).encode())
        await call.send_trailing_metadata(metadata={"trailing": "t"})

    async def fail(self, call: Any) -> None:
        """Fail at once, in headers alone."""
        raise GRPCError(Status.FAILED_PRECONDITION, "no")

    async def fail_late(self, call: Any) -> None:
        """Fail behind a message, without reading the request."""
        await call.send_message(b"x")
        await call.send_trailing_metadata(status=Status.NOT_FOUND, status_message="gone", metadata={"trailing": "t"})

    async def succeed_early(self, call: Any) -> None:
        """Succeed without reading the request."""
        await call.send_message(b"x")
        await call.send_trailing_metadata(metadata={"trailing": "t"})

    def __mapping__(self) -> dict[str, Handler]:
        return {
            f"/{answer}/{kind}": Handler(getattr(self, answer), cardinality, bytes, bytes)
            for answer in ANSWERS
            for kind, cardinality in CARDINALITIES.items()
        }


ANSWERS = ("echo", "fail", "fail_late", "succeed_early")


@dataclass(frozen=True)
class Seen:
    """What a user has seen of a step."""

    step: str
    outcome: Any
    initial: Any
    trailing: Any
    has_peer: bool


class Channels:
    """grpclib's channel and ours, each to a server of its own."""

    def __init__(self) -> None:
        codec = BytesCodec()
        self.stock = stock_channel(Server([Answers()], codec=codec), codec=codec)
        self.ours = our_channel(Server([Answers()], codec=codec), codec=codec)

    async def play(self, answer: str, kind: str, steps: Sequence[str]) -> tuple[list[Seen], list[Seen]]:
        """Take the same steps on both, until one waits."""
        stock = await play(self.stock, answer, kind, steps)
        ours = await play(self.ours, answer, kind, steps)
        return stock, ours

    async def aclose(self) -> None:
        self.stock.close()
        await self.ours.aclose()


@pytest.fixture
async def channels(anyio_backend: object) -> AsyncIterator[Channels]:
    both = Channels()
    yield both
    await both.aclose()


class Stop(Exception):
    """Ends a call whose last step waits for something that will not come."""


async def play(channel: grpclib.client.Channel, answer: str, kind: str, steps: Sequence[str]) -> list[Seen]:
    call = channel.request(f"/{answer}/{kind}", CARDINALITIES[kind], bytes, bytes, timeout=100.0)
    seen: list[Seen] = []

    def look(step: str, outcome: Any) -> None:
        seen.append(Seen(step, outcome, call.initial_metadata, call.trailing_metadata, call.peer is not None))

    async def use() -> None:
        async with call:
            for step in steps:
                outcome = await outcome_of(lambda step=step: STEPS[step](call))
                await asyncio.sleep(0.01)
                look(step, outcome)
                if outcome == "waits":
                    raise Stop

    look("leave", await outcome_of(use, limit=50.0))  # longer than any step
    return seen


# --- each misuse that grpclib knows, by its words ---------------------------------------------------------------------

MISUSES = [
    ("unary", ["send_request", "send_request"], "Request is already sent"),
    ("unary", ["send_message", "send_request"], "Request is already sent"),
    ("download", ["send_request(end)"], "Unary request requires a message to be sent before ending outgoing stream"),
    ("unary", ["send_message", "send_message"], "Message was already sent"),
    ("talk", ["send_request(end)", "send_message"], "Stream is ended"),
    ("upload", ["send_message(end)", "send_message"], "Stream is ended"),
    ("talk", ["end"], "Request was not sent"),
    ("talk", ["send_request", "end", "end"], "Stream was already ended"),
    ("unary", ["send_message(end)", "end"], "Stream was already ended"),
    ("unary", ["send_message", "end", "end"], "Stream was already ended"),
    ("unary", ["send_request", "end"], "Unary request requires a single message to be sent"),
    ("unary", ["recv_initial_metadata"], "Request was not sent yet"),
    ("unary", ["recv_message"], "Request was not sent yet"),
    ("unary", ["send_message", "recv_initial_metadata", "recv_initial_metadata"],
     "Initial metadata was already received"),
    ("unary", ["send_message", "recv_message", "recv_initial_metadata"], "Initial metadata was already received"),
    ("talk", ["send_message", "recv_message", "recv_trailing_metadata"], "Outgoing stream was not ended"),
    ("unary", ["recv_trailing_metadata"], "Outgoing stream was not ended"),
    ("unary", ["send_message", "recv_trailing_metadata"],
     "Initial metadata was not received before waiting for trailing metadata"),
    ("unary", ["send_message", "recv_message", "recv_trailing_metadata", "recv_trailing_metadata"],
     "Trailing metadata was already received"),
    ("unary", ["cancel"], "Request was not sent yet"),
    ("talk", ["send_request", "cancel", "cancel"], "Stream was already cancelled"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "steps", "words"), MISUSES)
async def test_a_misuse_is_told_in_grpclibs_words(channels: Channels, kind: str, steps: list[str], words: str) -> None:
    stock, ours = await channels.play("echo", kind, steps)
    assert stock[len(steps) - 1].outcome == (ProtocolError, words)
    assert ours == stock


def test_each_misuse_that_grpclib_knows_is_in_the_table() -> None:
    source = textwrap.dedent(inspect.getsource(grpclib.client.Stream))
    known = {
        node.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ProtocolError"
        if isinstance(node.args[0], ast.Constant)
    }
    assert known == {words for _, _, words in MISUSES}


# --- whatever a user does, in any order -------------------------------------------------------------------------------

NOT_ENDED = (ProtocolError, "Outgoing stream was not ended")

Rule = Callable[[Seen, Seen, Sequence[Seen]], bool]

RULES: dict[str, Rule] = {
    "an exception of h2 is not for users": lambda stock, ours, before: (
        isinstance(stock.outcome, tuple) and stock.outcome[0] is StreamClosedError
    ),
    "what has come from the server counts, also if it was followed by a reset": lambda stock, ours, before: (
        stock.outcome is StreamTerminatedError and ours.outcome is not StreamTerminatedError
    ),
    "once the server has ended, our side need not": lambda stock, ours, before: (
        stock.outcome == NOT_ENDED and (ours.outcome is None or is_misuse(ours.outcome) or is_status(ours.outcome))
    ),
    "nothing is sent to a server that has ended": lambda stock, ours, before: (
        stock.step.startswith("send_message") and stock.outcome is None and ours.outcome is StreamTerminatedError
    ),
    "a cancelled call is over, whatever has come": lambda stock, ours, before: (
        any(seen.step == "cancel" and seen.outcome is None for seen in before)
        and ours.outcome is StreamTerminatedError
        and (stock.outcome == NOT_ENDED or not is_misuse(stock.outcome))
    ),
    "metadata that has come with a status can be seen": lambda stock, ours, before: (
        stock.outcome == ours.outcome
        and stock.has_peer == ours.has_peer
        and all(a is None or a == b for a, b in [(stock.initial, ours.initial), (stock.trailing, ours.trailing)])
    ),
}
"""Where we differ, and why. The steps that follow a difference are not compared."""


def is_misuse(outcome: Any) -> bool:
    return isinstance(outcome, tuple) and outcome[0] is ProtocolError


def is_status(outcome: Any) -> bool:
    return isinstance(outcome, tuple) and outcome[0] is GRPCError


def difference(stock: Sequence[Seen], ours: Sequence[Seen]) -> str | None:
    """Return the rule for the first difference, or ``None`` if there is none; fail if there is no rule."""
    for step, (theirs, own) in enumerate(itertools.zip_longest(stock, ours)):
        if theirs != own:
            found = [why for why, rule in RULES.items() if theirs and own and rule(theirs, own, ours[:step])]
            assert found, f"after {[seen.step for seen in ours[:step]]}\nin grpclib {theirs}\nhere       {own}"
            return found[0]
    return None


async def test_any_two_steps_do_what_they_do_in_grpclib(channels: Channels) -> None:
    found: Counter[str | None] = Counter()
    sequences: Iterable[tuple[str, ...]] = [*((step,) for step in STEPS), *itertools.product(STARTS, STEPS)]
    for answer, kind, steps in itertools.product(ANSWERS, CARDINALITIES, sequences):
        found[difference(*await channels.play(answer, kind, steps))] += 1
    assert found[None] > 400
    assert set(found) - {None} == set(RULES) - {"a cancelled call is over, whatever has come"}


@given(
    answer=st.sampled_from(ANSWERS),
    kind=st.sampled_from(sorted(CARDINALITIES)),
    start=st.sampled_from(sorted(STARTS)),
    steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=8),
)
def test_any_steps_do_what_they_do_in_grpclib(answer: str, kind: str, start: str, steps: list[str]) -> None:
    async def play_both() -> None:
        channels = Channels()
        try:
            difference(*await channels.play(answer, kind, [start, *steps]))
        finally:
            await channels.aclose()

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        runner.run(play_both())

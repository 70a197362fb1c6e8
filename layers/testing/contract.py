"""The contract suite for layers: ``await check_layer(MyLayer())``.

It builds the layer over a `Probe` and dials: with a stream, an error, a hang, a stream that breaks or is wrong at each
byte, a caller that is cancelled at each await. After each dial it counts what is left. It waits for events and, if the
layer has a time limit, until that has run out; what takes more than five seconds it reports on stderr.
"""

from __future__ import annotations

from collections.abc import Callable

from ziggurat.layers.layer import Layer, as_layer
from ziggurat.layers.testing import rules
from ziggurat.layers.testing.probe import Peer
from ziggurat.layers.testing.scenarios import Scenarios
from ziggurat.layers.testing.suite import Refusals, Settings, virtual_time
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["check_layer"]

TARGET = Uri("http", "target.example", 80)
PATIENCE = 120.0


async def check_layer(
    layer: Layer | Callable[[Connector], Connector],
    *,
    uri: Uri = TARGET,
    peer: Peer | None = None,
    inner_uri: Uri | None = None,
    shared: bool = False,
    transparent: bool = False,
    may_refuse: Refusals | None = None,
    patience: float = PATIENCE,
) -> None:
    """Check that ``layer`` keeps the contracts of a layer; works on asyncio and trio.

    The response, errors and cancellation of ``inner`` pass through; nothing is left open, running or held, however a
    dial ends; typed attributes and the ledger arrive; each application of the layer has its own state; the layer itself
    is not changed. Check a layer that limits something with a limit of one, so that a single leaked permit shows. No
    other task should start meanwhile.

    Args:
        layer: a layer, or a function ``inner -> connector``.
        uri: what to dial.
        peer: plays the far end of the stream, e.g. a proxy, for a layer that sends or receives on it. When it returns,
            the suite echoes on the stream that it returned, or else on the one that it was given.
        inner_uri: what the layer dials instead of ``uri``; ``None`` for the same, or with ``peer`` for anything.
        shared: whether applications of the layer share an object of the user's, e.g. a limiter, and wait for one
            another; they are then not dialled concurrently.
        transparent: whether the layer promises to return our own streams without a wrapper; checks that too.
        may_refuse: the error, or errors, with which the layer may refuse a dial after an earlier one has failed, e.g.
            a circuit breaker's `LimitExceeded`. A cancelled dial is no failure, and neither inner nor anything else may
            have been used by the dial. ``None`` allows none.
        patience: seconds that a dial may take.

    Raises:
        AssertionError: a contract is broken; the message says which one and how to fix it, and the cause is the
            exception that the layer raised.
        TypeError: ``layer`` is not a layer, or returned something that is no connector.
    """
    checked = as_layer(layer)
    virtual = await virtual_time()
    suite = Scenarios(Settings(checked, uri, peer, inner_uri, transparent, may_refuse, patience, virtual))
    before = rules.state_of(checked)
    await suite.run_all(shared=shared)
    rules.require(
        rules.state_of(checked) == before,
        "dialling changed the layer itself: a layer is frozen configuration, keep state in what layer() returns",
    )

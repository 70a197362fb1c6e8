"""A dead proxy opens the proxy's circuit and not the target's, and the other way round."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import ByteStream

from tests.layers.scripted import Leaf, refused
from tests.services.dials import failing
from ziggurat.layers import Breaker, CircuitBreakerLayer, RetryPolicy, ServiceBuilder, race
from ziggurat.layers.layer import Stack
from ziggurat.layers.testing import ScriptedProxy, check_layer
from ziggurat.services import (
    Backoff,
    CircuitOpen,
    ConnectError,
    Connector,
    ConnectTimeout,
    DialAttribute,
    Http2Error,
    TlsError,
    Uri,
    dial,
    phase,
)

TARGET = Uri.parse("http://target.test:80")
PROXY = Uri.parse("socks5://proxy.test:1080")


def circuits(failures: int = 2) -> Breaker:
    return Breaker(failures, cooldown=Backoff(8.0, factor=2.0, jitter=0.0))


async def test_it_keeps_the_contracts_of_a_layer() -> None:
    await check_layer(CircuitBreakerLayer(1), transparent=True, may_refuse=CircuitOpen)


async def test_a_shared_breaker_keeps_the_contracts() -> None:
    shared = Breaker(1000)
    await check_layer(CircuitBreakerLayer(shared), transparent=True, shared=True)
    assert shared.keys <= 1


async def test_an_open_circuit_refuses_at_once_and_says_for_how_long() -> None:
    leaf = Leaf(*refused(9))
    connector = CircuitBreakerLayer(circuits()).layer(leaf)
    for _ in range(2):
        with pytest.raises(ConnectError, match="connection refused"):
            await connector(TARGET)
    with pytest.raises(CircuitOpen) as caught:
        await connector(TARGET)
    assert len(leaf.calls) == 2
    assert (caught.value.phase, caught.value.retry_after, caught.value.sent_to_target) == ("admission", 8.0, False)
    assert str(caught.value) == (
        "http://target.test:80: admission failed after 0.00 s: 2 dials in a row have failed; "
        "the circuit of target.test:80 lets the next probe through in 8.00 s"
    )


def stack(breaker: Breaker, leaf: Connector) -> Stack:
    return (
        ServiceBuilder()
        .circuit_breaker(breaker)  # the target's
        .socks5(PROXY, handshake_timeout=2.0, connect_timeout=4.0)
        .circuit_breaker(breaker)  # the proxy's
        .service(leaf)
    )


async def fails(connector: Connector, times: int, uri: Uri = TARGET) -> ConnectError:
    error = None
    for _ in range(times):
        with failing() as caught:
            await connector(uri)
        (error,) = caught
    assert error is not None
    return error


async def test_a_dead_proxy_opens_its_own_circuit_for_all_targets() -> None:
    breaker = circuits()
    leaf = Leaf(*refused(9))
    connector = stack(breaker, leaf)
    await fails(connector, 2)
    assert (breaker.state(PROXY), breaker.state(TARGET)) == ("open", "closed")
    error = await fails(connector, 20, Uri.parse("http://another.test:80"))
    assert isinstance(error, CircuitOpen)
    assert error.via == PROXY.authority
    assert breaker.keys == 1  # the refusals of the proxy's circuit are nobody's fault
    assert len(leaf.calls) == 2


async def test_a_proxy_that_says_nothing_opens_its_circuit() -> None:
    breaker = circuits()
    await fails(stack(breaker, Leaf()), 2)
    assert (breaker.state(PROXY), breaker.state(TARGET)) == ("open", "closed")


@pytest.mark.parametrize(
    ("script", "dead"),
    [
        ({"reply": 5}, TARGET),
        ({"reply": 1}, TARGET),
        ({"cut": 2, "cut_with": "stall"}, TARGET),  # greets, and then waits for the target
        ({"cut": 1, "cut_with": "stall"}, PROXY),
        ({"method": b"\x05\xff"}, PROXY),
        ({"method": b"HTTP/1.1 400"}, PROXY),
    ],
)
async def test_whose_fault_it_is(script: dict[str, object], dead: Uri) -> None:
    breaker = circuits()
    async with ScriptedProxy(**script) as proxy:  # type: ignore[arg-type]
        connector = stack(breaker, proxy.connector())
        await fails(connector, 2)
    assert [uri for uri in (TARGET, PROXY) if breaker.state(uri) == "open"] == [dead]


async def test_a_dead_target_resets_the_circuit_of_a_proxy_that_answers() -> None:
    breaker = circuits(3)
    steps = Leaf(*refused(2))
    async with ScriptedProxy(reply=5) as proxy:

        async def leaf(uri: Uri, /) -> ByteStream:
            return await (steps if len(steps.calls) < 2 else proxy.connector())(uri)

        connector = stack(breaker, leaf)
        await fails(connector, 3)
    assert breaker.keys == 1  # the target's, with one failure
    assert breaker.state(PROXY) == "closed"


async def test_a_failure_above_counts_too() -> None:
    """A server that accepts connections and fails in TLS or HTTP/2 is as dead as one that refuses them."""
    breaker = circuits()
    connector = CircuitBreakerLayer(breaker).layer(Leaf())
    for error, name in ((TlsError("no"), "tls"), (Http2Error("no"), "http2")):
        with failing(), dial(TARGET) as current, current.attempt():
            await connector(TARGET)
            with phase(name, via="target.test" if name == "tls" else None):
                raise error
    assert breaker.state(TARGET) == "open"


async def test_a_timeout_above_counts_and_a_cancelled_caller_does_not() -> None:
    breaker = circuits(1)
    connector = CircuitBreakerLayer(breaker).layer(Leaf(seconds=60.0))
    with anyio.move_on_after(1.0):
        await connector(TARGET)
    assert (breaker.state(TARGET), breaker.keys) == ("closed", 0)
    with pytest.raises(ConnectTimeout):
        await ServiceBuilder().timeout(1.0).service(connector)(TARGET)
    assert breaker.state(TARGET) == "open"


async def test_a_cancelled_probe_gives_its_place_back() -> None:
    breaker = circuits(1)
    leaf = Leaf(*refused(1), None, seconds=[0.0, 60.0, 0.0])
    connector = CircuitBreakerLayer(breaker).layer(leaf)
    await fails(connector, 1)
    await anyio.sleep(8.0)
    with anyio.move_on_after(1.0):
        await connector(TARGET)
    await (await connector(TARGET)).aclose()
    assert breaker.keys == 0


async def test_a_bug_below_is_no_failure() -> None:
    breaker = circuits(1)
    connector = CircuitBreakerLayer(breaker).layer(Leaf(RuntimeError("bug")))
    with pytest.raises(RuntimeError):
        await connector(TARGET)
    assert breaker.keys == 0


async def test_a_retry_above_counts_each_attempt_and_waits_for_the_probe() -> None:
    breaker = circuits()
    leaf = Leaf(*refused(3), None)
    connector = (
        ServiceBuilder().retry(RetryPolicy(9, backoff=Backoff(0.5, jitter=0.0))).circuit_breaker(breaker).service(leaf)
    )
    stream = await connector(TARGET)
    # Two failures open it; the probe after 8 s fails and opens it for 16 s.
    assert leaf.calls == [0.0, 0.5, 8.5, 24.5]
    assert breaker.keys == 0
    admissions = [p for p in stream.extra(DialAttribute.ledger).phases if p.name == "admission"]
    assert [p.outcome for p in admissions].count("failed") == len(admissions) - 4
    await stream.aclose()


async def test_the_losers_of_a_race_say_nothing() -> None:
    breaker = circuits(1)
    slow = CircuitBreakerLayer(breaker).layer(Leaf(seconds=60.0))
    await (await race(slow, Leaf())(TARGET)).aclose()
    assert breaker.keys == 0


async def test_a_number_is_a_breaker_of_each_stacks_own() -> None:
    layer = CircuitBreakerLayer(1)
    first, second = layer.layer(Leaf(*refused(9))), layer.layer(Leaf())
    await fails(first, 1)
    assert isinstance(await fails(first, 1), CircuitOpen)
    await (await second(TARGET)).aclose()


def test_it_says_which_failures_of_a_retry_count() -> None:
    below = ServiceBuilder().retry().circuit_breaker().service(Leaf())
    above = ServiceBuilder().circuit_breaker().retry().service(Leaf())
    assert [remark.text for connector in (below, above) for remark in connector.remarks(TARGET)] == [
        "RetryLayer > CircuitBreakerLayer: each failed attempt counts; while the circuit is open, the wait lasts until "
        "the next probe",
        "CircuitBreakerLayer > RetryLayer: a dial counts as one failure, after its last attempt",
    ]


@pytest.mark.parametrize("breaker", [0, "x", None])
def test_wrong_settings_are_refused(breaker: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"breaker must be a whole number \(at least 1\)"):
        CircuitBreakerLayer(breaker)  # type: ignore[arg-type]

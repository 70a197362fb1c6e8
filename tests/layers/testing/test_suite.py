"""What the suite says while it waits, what a layer may refuse, and how it tells virtual time."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from anyio.abc import ByteStream

from ziggurat.layers import Identity, TimeoutLayer
from ziggurat.layers.testing import check_layer, suite
from ziggurat.layers.testing.suite import Settings, Suite, virtual_time
from ziggurat.services import ConnectError, Connector, LimitExceeded, ResolveError, Uri, dial, phase

URI = Uri("http", "target.example", 80)


async def test_the_clock_of_the_tests_is_virtual() -> None:
    assert await virtual_time()


@pytest.mark.real_io
async def test_the_clock_of_a_program_is_not_virtual() -> None:
    assert not await virtual_time()


def settings(virtual: bool = True) -> Settings:
    return Settings(Identity(), URI, None, None, False, None, 120.0, virtual)


@pytest.mark.real_io
async def test_a_long_wait_is_reported_on_stderr_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite, "REPORT_INTERVAL", 0.02)
    reported = anyio.Event()
    monkeypatch.setattr(suite.sys.stderr, "flush", reported.set)
    runner = Suite(settings())

    async def scenario(_: Callable[..., object]) -> None:
        with runner.waiting("a dial: inner hangs"):
            await reported.wait()

    await runner.run(scenario)

    text = capsys.readouterr().err
    assert text.startswith("check_layer(Identity()) has waited 0 s for a dial: inner hangs (patience is 120 s)\n")


async def test_virtual_time_is_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    await check_layer(TimeoutLayer(60.0))

    assert capsys.readouterr().err == ""


@pytest.mark.real_io
async def test_in_real_time_a_layer_without_a_limit_is_not_waited_for() -> None:
    with anyio.fail_after(60.0):
        await check_layer(Identity(), patience=3600.0)


class Bug(Exception):
    pass


async def test_an_exception_of_a_scenario_is_raised_as_it_is_and_not_in_a_group() -> None:
    async def scenario(_: Callable[..., object]) -> None:
        raise Bug

    with pytest.raises(Bug):
        await Suite(settings()).run(scenario)


# --- breakers --------------------------------------------------------------------------------------------------------


def breaker(
    failures: tuple[type[BaseException], ...] = (Exception,),
    refusal: type[ConnectError] = LimitExceeded,
    *,
    dials_first: bool = False,
    leaks: bool = False,
) -> Callable[[Connector], Connector]:
    """A layer that refuses every dial after one has failed."""

    def layer(inner: Connector) -> Connector:
        broken = False

        async def connect(uri: Uri, /) -> ByteStream:
            nonlocal broken
            with dial(uri) as current:
                with phase("admission"):
                    if broken:
                        if dials_first:
                            stream = await inner(uri)
                            if not leaks:
                                await anyio.aclose_forcefully(stream)
                        raise refusal("the circuit is open")
                try:
                    return current.established(await inner(uri))
                except failures:
                    broken = True
                    raise

        return connect

    return layer


async def test_a_breaker_may_refuse_after_a_failure_if_that_is_said() -> None:
    await check_layer(breaker(), may_refuse=LimitExceeded, transparent=True)
    await check_layer(breaker(), may_refuse=(ResolveError, LimitExceeded))
    with pytest.raises(AssertionError, match=r"without calling inner: .* may_refuse=LimitExceeded") as caught:
        await check_layer(breaker())
    assert isinstance(caught.value.__cause__, LimitExceeded)


async def test_a_breaker_may_not_refuse_with_another_error() -> None:
    with pytest.raises(AssertionError, match="ResolveError"):
        await check_layer(breaker(refusal=ResolveError), may_refuse=LimitExceeded)


async def test_a_breaker_may_not_count_a_cancellation() -> None:
    with pytest.raises(AssertionError, match="only after a failure, which a cancellation by the caller is not"):
        await check_layer(breaker((BaseException,)), may_refuse=LimitExceeded)


async def test_a_breaker_that_refuses_may_not_have_dialled() -> None:
    with pytest.raises(AssertionError, match="LimitExceeded"):
        await check_layer(breaker(dials_first=True), may_refuse=LimitExceeded)
    with pytest.raises(AssertionError, match=r"LimitExceeded|left open"):
        await check_layer(breaker(dials_first=True, leaks=True), may_refuse=LimitExceeded)


async def test_a_breaker_that_refuses_its_first_dial_is_found() -> None:
    broken: list[bool] = []

    def shares(inner: Connector) -> Connector:
        async def connect(uri: Uri, /) -> ByteStream:
            with dial(uri) as current:
                if broken:
                    raise LimitExceeded("the circuit is open")
                try:
                    return current.established(await inner(uri))
                except Exception:
                    broken.append(True)
                    raise

        return connect

    with pytest.raises(AssertionError, match="refused the first dial of a fresh application"):
        await check_layer(shares, may_refuse=LimitExceeded)


async def test_what_a_breaker_lets_through_is_still_checked() -> None:
    def leaks_on_error(inner: Connector) -> Connector:
        through = breaker()(inner)

        async def connect(uri: Uri, /) -> ByteStream:
            try:
                return await through(uri)
            except LimitExceeded:
                raise
            except ConnectError as error:
                raise RuntimeError("no") from error

        return connect

    with pytest.raises(AssertionError, match="RuntimeError"):
        await check_layer(leaks_on_error, may_refuse=LimitExceeded)

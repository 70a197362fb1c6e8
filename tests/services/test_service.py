"""A service is any async callable; `service_fn` only adds a name."""

from __future__ import annotations

import re

import pytest

from ziggurat.services import service_fn


async def double(number: int) -> int:
    return 2 * number


class Callable:
    async def __call__(self, request: str) -> str:
        return request.upper()

    def __repr__(self) -> str:
        return "Callable()"


async def test_a_plain_async_function_is_called_through_the_wrapper() -> None:
    assert await service_fn(double)(21) == 42


async def test_an_object_with_an_async_call_is_a_service() -> None:
    assert await service_fn(Callable())("a") == "A"


async def test_an_exception_passes_through_unchanged() -> None:
    problem = KeyError("x")

    async def fail(_: int) -> int:
        raise problem

    with pytest.raises(KeyError) as caught:
        await service_fn(fail)(1)

    assert caught.value is problem


def test_the_repr_is_the_given_name() -> None:
    assert repr(service_fn(double, "twice")) == "twice"


def test_the_repr_without_a_name_is_the_functions_own() -> None:
    assert repr(service_fn(double)) == "double"
    assert repr(service_fn(Callable())) == "Callable()"


@pytest.mark.parametrize("wrong", [None, 7, "double"])
def test_a_value_that_is_not_callable_is_refused_and_quoted(wrong: object) -> None:
    with pytest.raises(TypeError, match=re.escape(f"not {wrong!r}")):
        service_fn(wrong)  # type: ignore[arg-type]

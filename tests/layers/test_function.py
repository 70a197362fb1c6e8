from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from ziggurat.layers.function import check_function, name_of, wrong_result


def plain() -> None: ...


async def waiting() -> None: ...


def test_a_function_is_taken_and_anything_else_is_not() -> None:
    check_function("f", plain, instead="that")
    check_function("f", waiting)
    with pytest.raises(TypeError, match="f must be a function, not 3"):
        check_function("f", 3)
    with pytest.raises(TypeError, match="f must be a plain function, and waiting is async: that takes one"):
        check_function("f", waiting, instead="that")


@pytest.mark.parametrize(("function", "name"), [(plain, "plain"), (int, "int"), (partial(plain), "functools.partial")])
def test_a_function_has_a_short_name(function: Any, name: str) -> None:
    assert name_of(function).startswith(name)


def test_a_wrong_result_is_named_and_a_forgotten_return_is_guessed() -> None:
    assert str(wrong_result(plain, 3, "a Uri")) == "plain returned 3, not a Uri"
    assert str(wrong_result(plain, None, "a Uri")) == "plain returned None, not a Uri (is there a `return`?)"
    assert "coroutine" in str(wrong_result(plain, waiting(), "a Uri"))  # and no warning that it was never awaited

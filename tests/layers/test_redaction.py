"""Errors without the frames that hold a secret."""

from __future__ import annotations

import gc
import inspect
import weakref

import pytest

from tests.tracebacks import chain, places_of
from ziggurat.layers.redaction import drop_frames, hide_arguments


@hide_arguments
def refuse(secret: str, *, kind: type[Exception] = ValueError) -> None:
    """Refuse a secret."""
    try:
        raise LookupError(secret)
    except LookupError as error:
        raise kind("no") from error


@pytest.mark.parametrize("kind", [ValueError, TypeError, UnicodeError])
def test_an_error_about_the_arguments_leaves_without_frames_and_cause(kind: type[Exception]) -> None:
    with pytest.raises(kind, match="no") as caught:
        refuse("hunter2", kind=kind)

    assert places_of("hunter2", caught.value) == []
    assert list(chain(caught.value)) == [caught.value]


def test_a_bug_keeps_its_traceback_and_its_cause() -> None:
    with pytest.raises(KeyError) as caught:
        refuse("hunter2", kind=KeyError)

    assert isinstance(caught.value.__cause__, LookupError)
    assert caught.traceback[-1].name == "refuse"


def test_the_line_that_called_stays_in_the_traceback() -> None:
    with pytest.raises(ValueError, match="no") as caught:
        refuse("hunter2")

    assert [entry.name for entry in caught.traceback] == [
        "test_the_line_that_called_stays_in_the_traceback",
        "hiding",
    ]


def test_a_refusal_in_an_except_block_has_that_blocks_error_as_its_context() -> None:
    outer = RuntimeError("first")
    try:
        raise outer
    except RuntimeError:
        with pytest.raises(ValueError, match="no") as caught:
            refuse("hunter2")

    assert caught.value.__context__ is outer


def test_the_function_keeps_its_name_its_docstring_and_its_signature() -> None:
    assert refuse.__name__ == "refuse"
    assert refuse.__doc__ == "Refuse a secret."
    assert list(inspect.signature(refuse).parameters) == ["secret", "kind"]


def test_a_refused_argument_is_freed_with_its_error() -> None:
    class Argument:
        pass

    argument = Argument()
    gone = weakref.ref(argument)
    gc.disable()
    try:
        try:
            refuse(argument)  # type: ignore[arg-type]
        except ValueError:
            pass
        del argument
        assert gone() is None
    finally:
        gc.enable()


def test_frames_are_dropped_from_the_whole_chain_and_from_groups() -> None:
    def failing(secret: str) -> None:
        raise LookupError("deep")

    try:
        try:
            failing("hunter2")
        except LookupError as error:
            raise ExceptionGroup("several", [error]) from error
    except ExceptionGroup as error:
        group = error

    group.exceptions[0].__context__ = group  # a circle
    drop_frames(group)

    assert all(each.__traceback__ is None for each in chain(group))
    assert len(list(chain(group))) == 2

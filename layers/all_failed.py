"""The one error of several dials that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ziggurat.services.errors import AllFailed, ConnectError

__all__ = ["all_failed"]


def all_failed(what: str, errors: Sequence[ConnectError], names: Sequence[str] = ()) -> AllFailed:
    """Return the error of several dials, in one line: what failed, and each reason once.

    Phase, via and hint are those of the last error.

    Args:
        what: what failed, e.g. ``3 attempts``.
        errors: the error of each, in the order in which they failed; not empty.
        names: what each was, e.g. the branch of a race; none if only the number matters.
    """
    last = errors[-1]
    same_place = len({(error.phase, error.via) for error in errors}) == 1
    texts = [error.message if same_place else _placed(error) for error in errors]
    if names:
        texts = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
    reasons = Counter(texts)
    listed = "; ".join(f"{reason} ({count} times)" if count > 1 else reason for reason, count in reasons.items())
    error = AllFailed(f"{what} failed: {listed}", errors, hint=last.hint)
    error.phase, error.via = last.phase, last.via
    return error


def _placed(error: ConnectError) -> str:
    place = " ".join(part for part in (error.phase, error.via and f"via {error.via}") if part)
    return f"{place}: {error.message}" if place else error.message

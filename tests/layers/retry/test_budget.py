from __future__ import annotations

import anyio
import pytest

from ziggurat.layers.retry.budget import RetryBudget


async def test_it_holds_so_many_retries_and_no_more() -> None:
    budget = RetryBudget(5, per_second=0.0)
    assert [budget.withdraw() for _ in range(6)] == [True] * 5 + [False]


async def test_ten_tenths_are_one_retry() -> None:
    """tower truncates the inverse of the share, and sums of floats fall short."""
    budget = RetryBudget(1, per_success=0.1, per_second=0.0)
    budget.withdraw()
    for _ in range(9):
        budget.deposit()
    assert not budget.withdraw()
    budget.deposit()
    assert budget.withdraw()


async def test_a_share_of_three_tenths_is_three_tenths() -> None:
    """tower #857: int(1 / 0.3) gives a retry for each three successes, not for each three and a third."""
    budget = RetryBudget(100, per_success=0.3, per_second=0.0)
    while budget.withdraw():
        pass
    for _ in range(100):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) == 30


async def test_time_gives_retries_back_up_to_the_whole() -> None:
    """Without that, a program that dials rarely and a server that was down for long never meet again."""
    budget = RetryBudget(2, per_second=0.1)
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
    await anyio.sleep(10.0)
    assert [budget.withdraw() for _ in range(2)] == [True, False]
    await anyio.sleep(1000.0)
    assert budget.left == 2.0


async def test_successes_do_not_pile_up() -> None:
    budget = RetryBudget(3)
    for _ in range(1000):
        budget.deposit()
    assert budget.left == 3.0


async def test_a_retry_that_was_not_made_is_given_back() -> None:
    budget = RetryBudget(1, per_second=0.0)
    assert budget.withdraw()
    budget.refund()
    assert budget.withdraw()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"tokens": 0.5}, ValueError, "tokens must be a number of at least 1, not 0.5"),
        ({"per_success": -1}, ValueError, "per_success must be a number of at least 0, not -1"),
        ({"per_second": float("nan")}, ValueError, "per_second must be a number of at least 0, not nan"),
        ({"per_second": "1"}, TypeError, "per_second must be a number of at least 0, not '1'"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        RetryBudget(**arguments)  # type: ignore[arg-type]

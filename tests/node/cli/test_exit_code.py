from __future__ import annotations

from ziggurat.node.cli import exit_code


def test_the_exit_codes_are_as_documented() -> None:
    assert (exit_code.OK, exit_code.FAILED, exit_code.USAGE, exit_code.PROXY_FAILED) == (0, 1, 2, 3)
    assert exit_code.INTERRUPTED == 130

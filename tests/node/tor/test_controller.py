from __future__ import annotations

import pytest

from ziggurat.node.tor import Bootstrap, TorError


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ('NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done"', Bootstrap(100, "done", "Done")),
        ('NOTICE BOOTSTRAP PROGRESS=0 TAG=starting SUMMARY="Starting"', Bootstrap(0, "starting", "Starting")),
        (
            'WARN BOOTSTRAP PROGRESS=5 TAG=conn SUMMARY="Connecting to a relay" WARNING="No route to host" '
            "REASON=NOROUTE COUNT=2 RECOMMENDATION=warn",
            Bootstrap(5, "conn", "Connecting to a relay", "No route to host"),
        ),
        ("NOTICE BOOTSTRAP PROGRESS=10 NEW=word", Bootstrap(10, "", "")),
    ],
)
def test_a_step_of_the_start_is_read(text: str, step: Bootstrap) -> None:
    assert Bootstrap.parse(text) == step
    assert step.done == (step.progress == 100)


@pytest.mark.parametrize("text", ["", "NOTICE BOOTSTRAP", "NOTICE BOOTSTRAP PROGRESS=x TAG=done"])
def test_what_has_no_progress_is_an_error(text: str) -> None:
    with pytest.raises(TorError, match="no progress"):
        Bootstrap.parse(text)

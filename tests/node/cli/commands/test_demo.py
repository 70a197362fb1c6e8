from __future__ import annotations

import json

from tests.node.running import run


def test_the_demonstration_needs_nothing_and_succeeds() -> None:
    done = run("demo", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True

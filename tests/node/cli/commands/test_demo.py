from __future__ import annotations

import json

from tests.node.running import run


def test_the_demo_succeeds_without_arguments_or_a_network() -> None:
    done = run("demo", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True

"""The kit ships to users: it needs no test runner and does not use our own SOCKS5 client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ziggurat.layers.testing

CHECK = "import sys; sys.path[:0] = {path!r}; import ziggurat.layers.testing; print(*sys.modules)"
HERE = Path(ziggurat.layers.testing.__file__).parent


def test_it_imports_no_test_runner() -> None:
    command = [sys.executable, "-c", CHECK.format(path=sys.path)]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    assert "ziggurat.layers.testing.contract" in loaded
    assert not {"pytest", "_pytest", "unittest", "hypothesis", "trio"} & set(loaded)


def test_the_proxies_are_an_independent_counterpart_of_the_client() -> None:
    for path in HERE.glob("*.py"):
        text = path.read_text()
        assert "import socksio" not in text
        assert "from ziggurat.layers.socks5" not in text


def test_every_exported_name_has_a_docstring() -> None:
    for name in ziggurat.layers.testing.__all__:
        assert getattr(ziggurat.layers.testing, name).__doc__, name

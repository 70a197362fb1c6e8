"""The fixture fails a test that leaks, even if the test catches the error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_fixture_fails_a_test_that_leaks(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["ziggurat.layers.testing.fixtures"]\n', "utf-8")
    (tmp_path / "test_it.py").write_text(
        "import socket\n"
        "def test_leaks(leak_guard):\n"
        "    try: socket.gethostbyname('target.invalid')\n"
        "    except Exception: pass\n"
        "def test_is_clean(leak_guard):\n"
        "    leak_guard.allow('127.0.0.1')\n",
        "utf-8",
    )
    path = os.pathsep.join(filter(None, sys.path))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        timeout=120,
    )

    assert "2 passed, 1 error" in run.stdout, run.stdout + run.stderr
    assert "LeakError: a look-up of target.invalid" in run.stdout

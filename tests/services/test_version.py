"""The version of the distribution, or of a source tree that was never installed."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from ziggurat.services.version import version

ROOT = Path(__file__).parents[2]


def test_it_is_the_version_of_the_distribution() -> None:
    assert version() == importlib.metadata.version("ziggurat")


def test_it_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = version()
    monkeypatch.delattr(importlib.metadata, "version")
    assert version() == expected


def test_a_source_tree_that_was_never_installed_has_version_0() -> None:
    code = f"import runpy; print(runpy.run_path({str(ROOT / 'services' / 'version.py')!r})['version']())"
    # -I -S: without site-packages
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "0\n"

"""grpclib's own tests, and the packages that they need: from the package index, where ``INTEROP_BUILD=1`` allows it.

The source distribution has the tests but not their helper modules; ours are in ``grpclib_suite/modules``. The packages
go to a folder that is on the path of those tests only: pytest-asyncio warns at each start of pytest, ours too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.interop.go_programs import BUILD

__all__ = ["MIXIN", "REPORT", "grpclib_tests"]

MIXIN = "ZIGGURAT_GRPCLIB_MIXIN"
"""Environment variable of a run: ``1`` puts a server with our mixin in place of grpclib's, too."""

REPORT = "ZIGGURAT_GRPCLIB_REPORT"
"""Environment variable of a run: the file for its outcomes, one object of JSON a line. Without it, all is as ever."""

PACKAGES = (
    "pytest-asyncio==1.5.0",
    "faker==40.63.0",
    "async-timeout==5.0.1",
    "certifi==2026.10.19.post1",
    "googleapis-common-protos==1.76.0",
)

LIMIT = 120.0
"""Limit in seconds of each download. Both take ten seconds."""


def grpclib_tests() -> tuple[Path, Path]:
    """Return grpclib's source, of the version that is installed, and the folder of packages. Skip the test without."""
    name = f"grpclib-{version('grpclib')}"
    folder = BUILD / f"{name}-python{sys.version_info.major}.{sys.version_info.minor}"
    source, packages = folder / name, folder / "packages"
    if not (folder / "done").exists():
        if os.environ.get("INTEROP_BUILD") != "1":
            pytest.skip(f"the tests of {name} are not here (set INTEROP_BUILD=1 to download them)")
        _pip("download", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), name.replace("-", "=="))
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        _pip("install", "--no-deps", "--upgrade", "--target", str(packages), *PACKAGES)
        (folder / "done").touch()
    return source, packages


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip {arguments[0]} did not end within {LIMIT:g} s")
    if done.returncode:
        pytest.skip(f"pip {arguments[0]} failed: {done.stderr.strip()[-500:]}")

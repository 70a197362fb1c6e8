"""Programs in Go, each at a pinned version: found, or built where ``INTEROP_BUILD=1`` allows to download their source.

A program is taken from the path in ``ZIGGURAT_<NAME>``, from PATH, or from `BUILD`, in this order. There it is built by
``go install``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["CONNECTCONFORMANCE", "GRPC_GO_CLIENT", "GRPC_GO_SERVER", "H2SPEC", "GoProgram"]

BUILD = Path(__file__).parents[2] / "build" / "interop"
"""Folder of the programs that were built, kept for the next session."""

LIMIT = 600.0
"""Limit in seconds of one build. From nothing, the longest takes a minute or two on two cores."""


@dataclass(frozen=True)
class GoProgram:
    """A program.

    Attributes:
        name: the name of the executable on PATH.
        package: the Go package that it is built from.
        version: the version that the tests are written for.
    """

    name: str
    package: str
    version: str

    def find(self) -> str:
        """Return the path of the executable, which is built if necessary. Skip the test if that is not possible."""
        variable = "ZIGGURAT_" + self.name.upper().replace("-", "_")
        if variable in os.environ:
            return os.environ[variable]
        if (path := shutil.which(self.name)) is not None:
            return path
        folder = BUILD / f"{self.name}-{self.version}"
        path = str(folder / self.package.rpartition("/")[2])
        if not os.access(path, os.X_OK):
            self._build(folder, variable)
        return path

    def _build(self, folder: Path, variable: str) -> None:
        source = f"{self.package}@{self.version}"
        go = shutil.which("go")
        if go is None or os.environ.get("INTEROP_BUILD") != "1":
            pytest.skip(f"{self.name} is not installed (set {variable}, or INTEROP_BUILD=1 to build {source} with Go)")
        folder.mkdir(parents=True, exist_ok=True)
        command = [go, "install", source]
        try:
            environment = {**os.environ, "GOBIN": str(folder)}
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{self.name} could not be built within {LIMIT:g} s")
        if done.returncode:
            pytest.skip(f"{self.name} could not be built: {done.stderr.strip()[-500:]}")


CONNECTCONFORMANCE = GoProgram("connectconformance", "connectrpc.com/conformance/cmd/connectconformance", "v1.0.7")
GRPC_GO_CLIENT = GoProgram("grpc-go-interop-client", "google.golang.org/grpc/interop/client", "v1.85.0")
GRPC_GO_SERVER = GoProgram("grpc-go-interop-server", "google.golang.org/grpc/interop/server", "v1.85.0")
H2SPEC = GoProgram("h2spec", "github.com/summerwind/h2spec/cmd/h2spec", "v2.2.1+incompatible")
"""The newest version that ``go install`` can fetch: the later ones have a ``go.mod`` that does not fit their number."""

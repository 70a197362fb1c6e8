"""A server that is fast enough for the client to be what is measured: grpc-go's, built from ``grpc_go/`` where Go is.

A slow server sends one message at a time, so that system calls are most of what its clients do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

__all__ = ["fast_server"]

SOURCE = Path(__file__).parent / "grpc_go"
CACHE = Path(__file__).parents[2] / "build" / "benchmarks"
"""Folder of what was built, kept for the next time."""

LIMIT = 600.0
"""Limit in seconds of the build."""


@cache
def fast_server(*, build: bool = True) -> str | None:
    """Return the path of the server; ``None`` if it is neither built nor can be.

    Args:
        build: whether it may be built, for which Go may download its modules.
    """
    source = b"".join((SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    program = CACHE / f"grpc-go-{hashlib.sha256(source).hexdigest()[:12]}"
    go = shutil.which("go")
    if os.access(program, os.X_OK):
        return str(program)
    if go is None or not build:
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    print("building the fast server", file=sys.stderr, flush=True)
    command = [go, "build", "-o", str(program), "."]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode:
        print(f"the fast server cannot be built: {done.stderr.strip()[-500:]}", file=sys.stderr)
        return None
    return str(program)

"""Measure the library against its peers: ``python tests/benchmarks [P1 B5 ...]``.

Needs the extra ``bench`` (``pip install -e '.[bench]'``). Prints a table; ``--json`` also writes it to a file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `python -m`; `python tests/benchmarks` adds it itself

from measure import Scale
from report import Row, as_json, as_text

PEERS = {"grpc": "grpcio", "httpcore": "httpcore", "python_socks": "python-socks"}
"""Packages by the module that they install."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks", description="Measure the library against its peers."
    )
    parser.add_argument("names", nargs="*", metavar="P1", help="benchmarks to run, P1 to B20; default: all")
    parser.add_argument("--rounds", type=int, help="pairs of blocks per comparison; more of them narrow the interval")
    parser.add_argument("--quick", action="store_true", help="check that everything works; the figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table to FILE")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a figure misses its limit")
    given = parser.parse_args()
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds must be at least 1")
    missing = [package for module, package in PEERS.items() if find_spec(module) is None]
    if missing:
        parser.error(f"{' and '.join(missing)} not installed: pip install -e '.[bench]'")
    from suite import BENCHMARKS

    given.names = [name.upper() for name in given.names] or list(BENCHMARKS)
    for name in given.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name}: there are {', '.join(BENCHMARKS)}")
    return given


def measured(names: list[str], scale: Scale) -> list[Row]:
    """Run benchmarks one after the other, each in a fresh process with a fresh heap."""
    from suite import ENVIRONMENTS, run

    rows: list[Row] = []
    context = multiprocessing.get_context("spawn")
    for name in names:
        start = time.perf_counter()
        more = ENVIRONMENTS.get(name, {})
        os.environ.update(more)  # inherited by the process
        with ProcessPoolExecutor(1, mp_context=context) as processes:
            rows += processes.submit(run, name, scale).result()
        for variable in more:
            del os.environ[variable]
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return rows


def main() -> int:
    given = arguments()
    rows = measured(given.names, Scale(given.rounds, given.quick))
    print(as_text(rows))
    if given.json is not None:
        given.json.write_text(json.dumps(as_json(rows), indent=2) + "\n")
    return 1 if given.strict and any(row.verdict.startswith("missed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure the library against its peers: ``python tests/benchmarks [B1 B5 ...]``.

Needs the extra ``bench`` (``pip install -e '.[bench]'``). Prints a table; ``--json`` also writes it to a file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).parent))  # for `python -m`; a folder's own path is there anyway

import bulk
import dead_target
import dial
import layer_cost
import memory
import round_trips
import unary
from measure import Scale, pin
from processes import client_core
from report import Row, as_json, as_text

Benchmark: TypeAlias = Callable[[Scale], Awaitable[list[Row]]]

BENCHMARKS: dict[str, Benchmark] = {
    "B1": unary.hand_over,
    "B2": unary.pump,
    "B3": bulk.download,
    "B4": bulk.upload,
    "B5": dial.connect,
    "B6": round_trips.round_trips,
    "B7": dial.storm,
    "B8": dead_target.dead_target,
    "B9": memory.memory,
    "B10": layer_cost.layer_cost,
}

PEERS = {"grpc": "grpcio", "python_socks": "python-socks"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks", description="Measure the library against its peers."
    )
    parser.add_argument(
        "names", nargs="*", metavar="B1", help=f"which ({', '.join(BENCHMARKS)}); all when none is given"
    )
    parser.add_argument("--rounds", type=int, help="pairs of blocks in each comparison; more narrow the interval")
    parser.add_argument("--quick", action="store_true", help="only see that everything works; the figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a figure misses what it must reach")
    given = parser.parse_args()
    given.names = [name.upper() for name in given.names] or list(BENCHMARKS)
    for name in given.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name}: there are {', '.join(BENCHMARKS)}")
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds must be at least 1")
    missing = [package for module, package in PEERS.items() if find_spec(module) is None]
    if missing:
        parser.error(f"{' and '.join(missing)} not installed: pip install -e '.[bench]'")
    return given


def main() -> int:
    given = arguments()
    scale = Scale(given.rounds, given.quick)
    pin(client_core())
    rows: list[Row] = []
    for name in given.names:
        start = time.perf_counter()
        # A loop for each: nothing that one leaves behind runs in the next.
        rows += asyncio.run(BENCHMARKS[name](scale))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print(as_text(rows))
    if given.json is not None:
        given.json.write_text(json.dumps(as_json(rows), indent=2) + "\n")
    return 1 if given.strict and any(row.verdict.startswith("missed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

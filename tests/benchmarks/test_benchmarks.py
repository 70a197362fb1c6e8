"""The benchmarks with ``--quick``: they run and print their rows. The figures are not checked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import takewhile
from pathlib import Path

import pytest

pytest.importorskip("grpc", reason="the benchmarks need the extra 'bench'")
pytest.importorskip("python_socks", reason="the benchmarks need the extra 'bench'")

FOLDER = Path(__file__).parent
FAST = any((FOLDER.parents[1] / "build" / "benchmarks").glob("grpc-go-*"))
"""Whether the fast server has been built, which ``--quick`` does not do."""


HAS_SCHEDSTAT = Path("/proc/self/schedstat").exists()


def test_the_quickest_benchmarks_print_a_table_and_write_json(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, str(FOLDER), "b6", "B8", "B16", "B18", "B19", "--quick"]
    command += ["--json", str(written)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    table = done.stdout.splitlines()
    names = ["B6"] * 5 + ["B8"] * 2 + ["B16"] * 2 + ["B18"] * 2 + ["B19"] * 2
    assert [line.split()[0] for line in takewhile(bool, table[2:])] == names
    rows = json.loads(written.read_text())["rows"]
    # These do not depend on the machine: round trips saved, and one dial for all callers.
    assert [row["value"]["median"] for row in rows[:6]] == [0, -1, 0, -1, -2, 1]
    assert [row["verdict"] for row in rows[:6]] == ["ok"] * 6


def test_the_benchmarks_of_the_node_print_their_rows(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, str(FOLDER), "B11", "B12", "B13", "B14", "--quick", "--json", str(written)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    rows = json.loads(written.read_text())["rows"]
    idle = ["P7", "B13"] if Path("/proc/self/statm").exists() else []
    assert [row["benchmark"] for row in rows] == ["B11"] * 6 + ["B12"] * 6 + idle + ["B14"] * 2
    # These do not depend on the machine: round trips, directly and through a proxy.
    assert [row["value"]["median"] for row in rows if row["must"] and row["must"]["kind"] == "="] == [4, 5]


def test_the_benchmark_of_the_forwarder_prints_its_rows(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, str(FOLDER), "B17", "--quick", "--json", str(written)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    rows = json.loads(written.read_text())["rows"]
    assert "microseconds added to a round trip, ziggurat" in [row["what"] for row in rows] or not HAS_SCHEDSTAT


def test_the_benchmarks_of_calls_print_their_rows(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, str(FOLDER), "P1", "P2", "P3", "P4", "P5", "P6", "P7", "--quick", "--json", str(written)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    rows = json.loads(written.read_text())["rows"]
    counts = {"P1": 10, "P2": 6, "P3": 8, "P4": 12, "P5": 2}
    server = " grpc-go" if FAST else " grpcio"
    assert Counter(row["benchmark"] for row in rows if row["what"].endswith(server)) == counts
    missing = [row["benchmark"] for row in rows if row["value"] is None and row["benchmark"] != "P5"]
    assert missing == ([] if FAST else ["P1", "P2", "P3", "P4"])


def test_every_layer_has_its_cost(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, str(FOLDER), "B15", "--quick", "--json", str(written)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    rows = json.loads(written.read_text())["rows"]
    # A layer without a recipe in layer_cost.py has a row that says so.
    assert sum(row["value"] is not None for row in rows) >= 14


def test_an_unknown_benchmark_is_refused() -> None:
    done = subprocess.run([sys.executable, str(FOLDER), "B99"], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "no benchmark B99" in done.stderr

"""The benchmark on a private Tor network runs; its figures are not checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.programs import find

pytest.importorskip("grpc", reason="the benchmarks need the extra 'bench'")
pytest.importorskip("httpcore", reason="the benchmarks need the extra 'bench'")
pytest.importorskip("python_socks", reason="the benchmarks need the extra 'bench'")

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_the_benchmark_of_tor_prints_its_rows(tmp_path: Path) -> None:
    find("tor", "tor")
    written = tmp_path / "figures.json"
    command = [sys.executable, str(FOLDER), "B20", "--quick", "--json", str(written)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    rows = json.loads(written.read_text())["rows"]
    assert len(rows) == 8
    assert {row["benchmark"] for row in rows} == {"B20"}
    assert [row["value"]["median"] for row in rows if row["what"].endswith(", errors")] == [0]
    assert "proxy.connect" in rows[1]["note"]

"""What an import of the command line loads, and that it works on systems without POSIX."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ziggurat.node


def test_the_command_line_can_be_imported_without_posix() -> None:
    missing = ("fcntl", "grp", "pwd", "resource", "termios")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r})); import ziggurat.node.cli as c; print(c.main)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "function main" in done.stdout


def test_the_command_loads_the_node_only_when_it_runs() -> None:
    program = "import sys; before = set(sys.modules); import ziggurat.node.cli; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    ours = {name for name in done.stdout.split() if name.startswith("ziggurat.")}

    assert ours == {
        *("ziggurat.node", "ziggurat.node.cli"),
        *("ziggurat.node.cli.exit_code", "ziggurat.node.cli.interrupt"),
    }
    assert not {"anyio", "grpclib", "structlog"} & set(done.stdout.split())


def test_each_name_of_the_node_is_loaded_from_the_room_that_type_checkers_see() -> None:
    source = ast.parse(Path(ziggurat.node.__file__).read_text())
    imported = [each for each in ast.walk(source) if isinstance(each, ast.ImportFrom) and each.level == 0]
    names = {alias.name: str(each.module) for each in imported for alias in each.names if each.module != "importlib"}
    names.pop("annotations")

    assert sorted(names) == sorted(ziggurat.node.__all__)
    for name, module in names.items():
        assert getattr(ziggurat.node, name) is getattr(importlib.import_module(module), name)


def test_an_unknown_name_of_the_node_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'ziggurat\.node' has no attribute 'nothing'"):
        _ = ziggurat.node.nothing  # type: ignore[attr-defined]
    assert set(ziggurat.node.__all__) <= set(dir(ziggurat.node))

"""The command line can be imported on systems without POSIX."""

from __future__ import annotations

import subprocess
import sys


def test_the_command_line_can_be_imported_without_posix() -> None:
    missing = ("fcntl", "grp", "pwd", "resource", "termios")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r})); import ziggurat.node.cli as c; print(c.main)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "function main" in done.stdout

"""Ctrl-C while the command is loaded, and where it is not ours to handle."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ziggurat.node.cli.interrupt import quit_on_interrupt

INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:  # as the interpreter does, where this comes in one of its callbacks
                print("Exception ignored")

sys.path[:0] = {path!r}
sys.meta_path.insert(0, Interrupting())
from ziggurat.node.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("module", ["anyio", "anyio._backends._asyncio"])
def test_an_interrupt_during_the_imports_exits_with_130_and_prints_nothing(module: str, tmp_path: Path) -> None:
    arguments = ["node", "--devnet", "-b", str(tmp_path), "--maxinpeers=0", "--outpeers=0"]
    code = INTERRUPTED_IMPORT.format(module=module, path=sys.path, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_handler_is_there_for_the_block_only() -> None:
    before = signal.getsignal(signal.SIGINT)
    assert before is signal.default_int_handler
    with quit_on_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before

    assert signal.getsignal(signal.SIGINT) is before


def test_an_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with quit_on_interrupt():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_is_changed() -> None:
    seen: list[object] = []

    def run() -> None:
        with quit_on_interrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert seen == [signal.default_int_handler]

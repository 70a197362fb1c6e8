from __future__ import annotations

import json
import sys

import pytest

from tests.layers.leakcheck.namespaces import echo, need_namespaces, python
from ziggurat.node.cli import main

USE = """
host, _, port = sys.argv[1].rpartition(":")
socket.create_connection((host, int(port))).close()
"""


def test_a_clean_program(capfd: pytest.CaptureFixture[str]) -> None:
    need_namespaces()
    with echo() as proxy:
        code = main(["leakcheck", "--proxy", proxy, "--", *python(f"print('said')\n{USE}", proxy)])
    printed = capfd.readouterr()

    assert code == 0
    assert printed.out.splitlines()[0] == f"proxy {proxy}: 1 connection"
    assert printed.out.splitlines()[-1] == "Clean: nothing went elsewhere."
    assert printed.err == "said\n"


def test_a_leak_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    need_namespaces()
    with echo() as proxy:
        leak = "quietly(socket.create_connection, ('192.0.2.77', 443))"
        code = main(["leakcheck", "--proxy", proxy, "--json", "--", *python(f"{USE}\n{leak}", proxy)])
    report = json.loads(capfd.readouterr().out)

    assert code == 1
    assert [each["where"] for each in report["findings"]] == ["192.0.2.77:443"]


def test_a_program_that_never_used_the_proxy(capfd: pytest.CaptureFixture[str]) -> None:
    need_namespaces()

    assert main(["leakcheck", "--proxy", "127.0.0.1:1", "--", "true"]) == 4
    assert "proves nothing: the program never used the proxy." in capfd.readouterr().out


def test_a_program_that_does_not_exist(capfd: pytest.CaptureFixture[str]) -> None:
    need_namespaces()

    assert main(["leakcheck", "--proxy", "127.0.0.1:1", "--", "/no/such/program"]) == 4
    assert capfd.readouterr().err == "ziggurat leakcheck: /no/such/program cannot be run (No such file or directory)\n"


def test_another_system_is_told_what_is_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert main(["leakcheck", "--", "true"]) == 3
    assert capsys.readouterr().err == "ziggurat leakcheck: it needs the network namespaces of Linux\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--proxy", "socks5://u:hunter2@h:1"], "--proxy: bad proxy: only its address is needed"),
        (["--proxy", "localhost"], "--proxy: bad proxy (the port is missing); expected HOST:PORT"),
        (["--expose", "0"], "--expose: bad value '0'; expected a port, 1 to 65535"),
        (["--for", "-1"], "--for: bad value '-1'; expected a positive number of seconds"),
        (["--for", "soon"], "--for: bad value 'soon'; expected a positive number of seconds"),
    ],
)
def test_wrong_arguments(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["leakcheck", *arguments, "--", "true"])
    printed = capsys.readouterr().err

    assert caught.value.code == 2
    assert f"ziggurat leakcheck: {error}" in printed
    assert "hunter2" not in printed

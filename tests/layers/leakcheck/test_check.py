from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.layers.leakcheck.namespaces import echo, need_namespaces, python
from ziggurat.layers.leakcheck import CommandError, Finding, leakcheck

USE = """
host, _, port = sys.argv[1].rpartition(":")
with socket.create_connection((host, int(port))) as proxy:
    proxy.sendall(b"hello")
    assert proxy.recv(5) == b"hello"
"""

LEAK = """
quietly(socket.getaddrinfo, "leak.example", 80)
quietly(socket.create_connection, ("192.0.2.77", 443))
quietly(socket.create_connection, ("2001:db8::5", 80))
quietly(socket.create_connection, ("127.0.0.1", 7777))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
quietly(udp.sendto, b"x", ("192.0.2.9", 123))
quietly(udp.sendto, b"x", ("127.0.0.1", 7778))
udp.close()
"""


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    need_namespaces()


def test_a_program_that_uses_only_the_proxy_is_clean() -> None:
    own = "with socket.create_server(('127.0.0.1', 0)) as own: socket.create_connection(own.getsockname()).close()"
    with echo() as proxy:
        report = leakcheck(python(f"{USE}\n{own}", proxy), proxies=[proxy])

    assert report.findings == (), "a connection within the program is no leak"
    assert report.clean
    assert [(use.proxy, use.tried, use.connections) for use in report.proxies] == [(proxy, 1, 1)]


def test_each_leak_is_found_with_its_process() -> None:
    with echo() as proxy:
        report = leakcheck(python(USE + LEAK, proxy), proxies=[proxy])

    found = {(each.kind, each.where, each.name) for each in report.findings}
    expected = {
        ("look-up", "10.254.254.53:53", "leak.example"),
        ("tcp", "192.0.2.77:443", None),
        ("tcp", "127.0.0.1:7777", None),
        ("udp", "192.0.2.9:123", None),
        ("udp", "127.0.0.1:7778", None),
    }
    if socket.has_ipv6 and Path("/proc/sys/net/ipv6").exists():
        expected.add(("tcp", "[2001:db8::5]:80", None))
    assert found == expected
    processes = {each.process.removeprefix("probably ") for each in report.findings}
    assert len(processes) == 1, "one process, with one pid"
    assert processes.pop().startswith("python")
    assert not report.clean
    assert (report.code, report.failure) == (0, None)


def test_what_a_child_does_is_found_too() -> None:
    with echo() as proxy:
        child = (
            "import os\nif not os.fork():\n    quietly(socket.create_connection, ('192.0.2.1', 1))\n    os._exit(0)\n"
        )
        report = leakcheck(python(f"{child}os.wait()\n{USE}", proxy), proxies=[proxy])

    assert [each.where for each in report.findings] == ["192.0.2.1:1"]


def test_without_the_proxy_nothing_is_proved() -> None:
    with echo() as proxy:
        report = leakcheck(python("pass"), proxies=[proxy])

    assert report.findings == ()
    assert report.failure == "the program never used the proxy"
    assert not report.clean


def test_a_dead_proxy_refuses_inside_as_it_does_outside() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{bound.getsockname()[1]}"
        refused = "\ntry: socket.create_connection((host, int(port)))\nexcept ConnectionRefusedError: sys.exit(0)"
        report = leakcheck(python('host, _, port = sys.argv[1].rpartition(":")' + refused, proxy), proxies=[proxy])

    assert (report.code, report.findings) == (0, ())
    assert report.failure == "the proxy did not answer (1 tries)"


def test_a_program_that_fails_is_not_clean() -> None:
    with echo() as proxy:
        report = leakcheck(python(f"{USE}\nsys.exit(7)", proxy), proxies=[proxy])

    assert report.failure == "the program ended with 7"


BACKGROUND = """
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        time.sleep({seconds})
        quietly(socket.create_connection, ('192.0.2.1', 1))
    os._exit(0)
os.wait()
"""


def test_a_program_that_goes_to_the_background_is_not_clean() -> None:
    """monero-project/monero#6218, rofl0r/proxychains-ng#283: the first process ends at once, with 0 and no leak."""
    with echo() as proxy:
        report = leakcheck(python(USE + BACKGROUND.format(seconds=60), proxy), proxies=[proxy])

    assert (report.findings, report.code, len(report.left)) == ((), 0, 1)
    assert "went on in the background" in str(report.failure)
    assert not report.clean


def test_what_ends_a_moment_after_the_program_is_seen_and_no_obstacle() -> None:
    with echo() as proxy:
        report = leakcheck(python(USE + BACKGROUND.format(seconds=0.05), proxy), proxies=[proxy])

    assert [each.where for each in report.findings] == ["192.0.2.1:1"]
    assert report.failure is None


def test_when_the_time_is_up_the_program_is_ended() -> None:
    with echo() as proxy:
        report = leakcheck(python(f"{USE}\nimport time; time.sleep(60)", proxy), proxies=[proxy], seconds=0.5)

    assert (report.stopped, report.code) == (True, -signal.SIGTERM)
    assert report.clean


def test_an_exposed_port_reaches_the_program() -> None:
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    said: list[bytes] = []
    over = threading.Event()

    def visit() -> None:
        while not over.wait(0.01):
            try:
                with socket.create_connection(("127.0.0.1", port), 5.0) as visitor:
                    if answer := visitor.recv(100):
                        visitor.sendall(b"!")
                        said.append(answer)
                        return
            except OSError:
                continue

    visitor = threading.Thread(target=visit)
    visitor.start()
    # A visitor may have gone again by the time that the program accepts it.
    serve = (
        f"own, heard = socket.create_server(('127.0.0.1', {port})), b''\n"
        "while not heard:\n"
        "    try:\n"
        "        end = own.accept()[0]\n"
        "        end.sendall(b'inside')\n"
        "        heard = end.recv(1)\n"
        "    except OSError:\n"
        "        pass"
    )
    with echo() as proxy:
        report = leakcheck(python(f"{USE}\n{serve}", proxy), proxies=[proxy], expose=[port], seconds=30.0)
    over.set()
    visitor.join()

    assert said == [b"inside"]
    assert report.clean


def test_a_proxy_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=lambda: [_greet(listener) for _ in range(2)])  # the first is the check's own
        thread.start()
        use = "proxy = socket.socket(socket.AF_UNIX); proxy.connect(sys.argv[1]); assert proxy.recv(5) == b'hello'"
        report = leakcheck(python(use, str(path)), proxies=[f"unix:{path}"])
        thread.join()

    assert report.clean
    assert report.proxies[0].connections == 1


def _greet(listener: socket.socket) -> None:
    client, _ = listener.accept()
    with client:
        try:
            client.sendall(b"hello")
        except OSError:
            pass


def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(CommandError, match=r"^/no/such/program cannot be run \(No such file or directory\)$"):
        leakcheck(["/no/such/program"], proxies=["127.0.0.1:1"])


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="no command"):
        leakcheck([])
    with pytest.raises(ValueError, match="the port is missing"):
        leakcheck(["true"], proxies=["localhost"])


def test_a_finding_counts() -> None:
    assert Finding(0.0, "x (1)", "tcp", "192.0.2.1:1").count == 1

"""A dial goes past the environment's proxy: said once. Every case is a dial of a real leaf, which fails at once."""

from __future__ import annotations

import logging

import pytest

from ziggurat.services import silently_direct
from ziggurat.services.dial import dial
from ziggurat.services.errors import ConnectError
from ziggurat.services.silently_direct import VARIABLES, direct_on_purpose
from ziggurat.services.socket import SocketConnector
from ziggurat.services.tcp import TcpConnector
from ziggurat.services.uri import Uri

TARGET = Uri.parse("https://api.example")


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "NO_PROXY", "no_proxy", "NO_GRPC_PROXY", "no_grpc_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(silently_direct._Note, "said", False)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    async def no_address(host: str, **options: object) -> list[str]:
        raise ConnectError("nothing is resolved here")

    async def no_connection(*args: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("ziggurat.services.tcp.look_up", no_address)
    monkeypatch.setattr("ziggurat.services.tcp._open", no_connection)
    caplog.set_level(logging.WARNING, "ziggurat.services")
    return caplog


async def go(target: Uri | str, connector: TcpConnector | SocketConnector | None = None) -> None:
    uri = Uri.parse(target) if isinstance(target, str) else target
    with pytest.raises(ConnectError):
        await (connector or TcpConnector())(uri)


async def test_it_is_said_once_per_process(heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:3128")

    await go(TARGET)
    await go("https://other.example", SocketConnector())

    (record,) = heard.records
    assert (record.name, record.levelname) == ("ziggurat.services", "WARNING")
    assert record.getMessage() == (
        "HTTPS_PROXY is set, but this stack dials https://api.example:443 directly: no layer of it obeys the variable. "
        "Add proxy_from_environment() to obey, .proxy(url) to choose, or .direct() to dial directly on purpose "
        "(said once)"
    )


@pytest.mark.parametrize("name", VARIABLES)
async def test_any_proxy_variable_is_a_reason(
    heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "anything at all")

    await go("tcp://192.0.2.1:5432")

    assert heard.messages[0].startswith(f"{name} is set")


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({}, "https://api.example"),
        ({"HTTPS_PROXY": ""}, "https://api.example"),
        ({"NO_PROXY": "a"}, "https://api.example"),
        ({"HTTPS_PROXY": "p", "NO_PROXY": ".example"}, "https://api.example"),
        ({"HTTPS_PROXY": "p", "NO_GRPC_PROXY": "*"}, "https://api.example"),
        ({"HTTPS_PROXY": "p"}, "https://localhost:1"),
        ({"HTTPS_PROXY": "p"}, "https://127.0.0.1:1"),
        ({"HTTPS_PROXY": "p"}, "https://[::1]:1"),
        ({"REQUEST_METHOD": "GET", "HTTP_PROXY": "p"}, "http://api.example"),
    ],
)
async def test_nothing_is_said_without_a_reason(
    heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], target: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    await go(target)

    assert not heard.messages


async def test_nothing_is_said_of_a_unix_socket(
    heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "p")

    await go(Uri("unix", path="/nowhere"), TcpConnector())

    assert not heard.messages


async def test_nothing_is_said_where_a_layer_above_chose_the_address(
    heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's layer asks the leaf for the proxy."""
    monkeypatch.setenv("ALL_PROXY", "p")

    with dial(TARGET):
        await go("socks5://proxy.example:1080")

    assert not heard.messages


async def test_nothing_is_said_of_a_dial_that_is_direct_on_purpose(
    heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "p")

    with direct_on_purpose():
        await go(TARGET)
    assert not heard.messages

    await go(TARGET)
    assert len(heard.messages) == 1

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Literal

import anyio
import pytest
import structlog
from anyio.abc import ByteStream
from structlog.testing import capture_logs

from ziggurat.layers.logging import LoggingLayer
from ziggurat.layers.socks5 import Socks5Layer, UserPass
from ziggurat.layers.testing import check_layer, mock_connector, stream_pair
from ziggurat.layers.timeout import TimeoutLayer
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import ConnectError, ConnectRefused, ConnectTimeout, ProxyRefused, TlsError
from ziggurat.services.service import Connector
from ziggurat.services.stream import DialAttribute
from ziggurat.services.uri import Uri

TARGET = Uri.parse("http://hidden.test:8080")


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]


def leaf_with(*steps: tuple[str, str | None], error: BaseException | None = None) -> Connector:
    """A leaf that enters these phases; the last one fails with ``error``."""

    async def leaf(uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            for index, (name, via) in enumerate(steps):
                with phase(name, via=via):
                    await anyio.sleep(0.25)
                    if error is not None and index == len(steps) - 1:
                        raise error
            return current.established(stream_pair()[0])

    return leaf


async def test_it_keeps_the_contract_of_a_layer() -> None:
    await check_layer(LoggingLayer(), transparent=True)


async def test_a_successful_dial_is_logged_as_started_and_connected(logs: list[dict[str, object]]) -> None:
    leaf = leaf_with(
        ("tcp", "one:1080"),
        ("proxy.greeting", "one:1080"),
        ("proxy.connect", "one:1080"),
        ("proxy.connect", "two:1080"),
    )
    stream = await LoggingLayer().layer(leaf)(TARGET)

    id = stream.extra(DialAttribute.ledger).id
    target = "http://hidden.test:8080"
    assert logs == [
        {"event": "dial.started", "log_level": "info", "dial": id, "target": target},
        {
            "event": "dial.connected",
            "log_level": "info",
            "dial": id,
            "target": target,
            "via": "one:1080 > two:1080",
            "elapsed": 1.0,
        },
    ]


async def test_a_direct_dial_has_no_via(logs: list[dict[str, object]]) -> None:
    await LoggingLayer().layer(leaf_with(("tcp", None), ("tls", "hidden.test")))(TARGET)
    assert logs[1]["via"] is None


async def test_a_failure_is_logged_with_its_phase_via_and_error(logs: list[dict[str, object]]) -> None:
    refused = ConnectRefused("connection refused (10.0.0.1)", hint="is the server running?")
    with pytest.raises(ConnectRefused):
        await LoggingLayer().layer(leaf_with(("tcp", "one:1080"), error=refused))(TARGET)
    assert logs[1] == {
        "event": "dial.failed",
        "log_level": "warning",
        "dial": refused.ledger.id if refused.ledger else None,
        "target": "http://hidden.test:8080",
        "via": "one:1080",
        "phase": "tcp",
        "elapsed": 0.25,
        "error": "ConnectRefused: connection refused (10.0.0.1); is the server running?",
    }


async def test_a_failure_at_the_target_lists_the_proxies_on_the_way(logs: list[dict[str, object]]) -> None:
    leaf = leaf_with(("proxy.connect", "one:1080"), ("tls", "hidden.test"), error=TlsError("no trust"))
    with pytest.raises(TlsError):
        await LoggingLayer().layer(leaf)(TARGET)
    assert (logs[1]["phase"], logs[1]["via"]) == ("tls", "one:1080")


async def test_a_foreign_error_gets_its_phase_from_the_ledger(logs: list[dict[str, object]]) -> None:
    leaf = leaf_with(("tcp", None), ("mine", "gateway"), error=RuntimeError("line\nbreak"))
    with pytest.raises(RuntimeError):
        await LoggingLayer().layer(leaf)(TARGET)
    assert (logs[1]["phase"], logs[1]["via"], logs[1]["error"]) == ("mine", "gateway", "RuntimeError: line break")


async def test_a_cancelled_dial_is_logged_too(logs: list[dict[str, object]]) -> None:
    connector, _ = mock_connector("proxy.connect")
    with anyio.move_on_after(3.0):
        await LoggingLayer().layer(connector)(TARGET)
    assert logs[1]["event"] == "dial.failed"
    assert (logs[1]["log_level"], logs[1]["error"], logs[1]["phase"], logs[1]["elapsed"]) == (
        "info",
        "cancelled",
        "proxy.connect",
        3.0,
    )


def show_port(uri: Uri) -> str:
    return f"port {uri.port}"


def broken_mask(uri: Uri) -> str:
    raise ValueError(uri.host)


@pytest.mark.parametrize(("mask", "shown"), [(True, "***"), (show_port, "port 8080"), (broken_mask, "***")])
@pytest.mark.parametrize(
    ("steps", "error", "text"),
    [
        ([("tcp", None)], ConnectRefused("refused (10.0.0.1)", hint="ask hidden.test"), "ConnectRefused"),
        ([("tls", "hidden.test")], TlsError("certificate is not valid for HIDDEN.test"), "TlsError"),
        (
            [("proxy.connect", "hidden.test:8080")],
            ProxyRefused("hidden.test: no", reply_code=5),
            "ProxyRefused: reply 0x05",
        ),
        ([("dns", None)], RuntimeError("hidden.test"), "RuntimeError"),
        (
            [("tcp", None)],
            ConnectTimeout(5.0, "tunnel"),
            "ConnectTimeout: the limit 'tunnel' of 5 s ran out",
        ),
        ([("tcp", None)], ConnectTimeout(5.0, "reach hidden.test"), "ConnectTimeout"),
        ([("tcp", None), ("tls", "hidden.test")], None, None),
    ],
)
async def test_a_masked_target_appears_in_no_event(
    logs: list[dict[str, object]],
    mask: bool | Callable[[Uri], str],
    shown: str,
    steps: list[tuple[str, str | None]],
    error: Exception | None,
    text: str | None,
) -> None:
    stack = LoggingLayer(mask_target=mask).layer(leaf_with(*steps, error=error))
    with nullcontext() if error is None else pytest.raises(type(error)):
        await stack(TARGET)

    assert len(logs) == 2
    assert [entry["target"] for entry in logs] == [shown, shown]
    assert logs[1].get("error") == text
    assert "hidden" not in repr(logs).lower()
    assert "10.0.0.1" not in repr(logs)


@pytest.mark.parametrize("host", ["[fe80::1%25eth0]", "hidden.test."])
async def test_masking_also_covers_the_name_as_tls_writes_it(logs: list[dict[str, object]], host: str) -> None:
    bare = host.strip("[].").partition("%")[0]
    stack = LoggingLayer(mask_target=True).layer(leaf_with(("tls", bare), error=TlsError("no")))
    with pytest.raises(TlsError):
        await stack(Uri.parse(f"http://{host}:1"))
    assert bare not in repr(logs)


async def test_below_a_proxy_the_dials_own_target_is_masked_too(logs: list[dict[str, object]]) -> None:
    below = LoggingLayer(mask_target=True).layer(leaf_with(("mine", "hidden.test"), error=ConnectError("hidden.test")))
    with pytest.raises(ConnectError), dial(TARGET):
        await below(Uri.parse("socks5://proxy.test"))
    assert "hidden" not in repr(logs)
    assert "proxy.test" not in repr(logs)


async def test_a_proxys_password_appears_in_no_event(logs: list[dict[str, object]]) -> None:
    near, far = stream_pair()

    async def leaf(uri: Uri, /) -> ByteStream:
        return near

    layer = Socks5Layer("proxy.test:1080", auth=UserPass("me", "opensesame"))
    async with anyio.create_task_group() as tasks:

        async def refuse() -> None:
            await far.receive()
            await far.send(b"\x05\x02")
            await far.receive()
            await far.send(b"\x01\x01")

        tasks.start_soon(refuse)
        with pytest.raises(ConnectError):
            await LoggingLayer().layer(layer.layer(leaf))(TARGET)
    assert logs[1]["phase"] == "proxy.auth"
    assert "opensesame" not in repr(logs)


async def test_an_inner_timeout_is_logged_with_its_phase(logs: list[dict[str, object]]) -> None:
    connector, _ = mock_connector("proxy.connect")
    with pytest.raises(ConnectTimeout):
        await LoggingLayer().layer(TimeoutLayer(2.0, name="tunnel").layer(connector))(TARGET)
    assert (logs[1]["phase"], logs[1]["elapsed"]) == ("proxy.connect", 2.0)
    assert logs[1]["error"] == "ConnectTimeout: the limit 'tunnel' of 2 s ran out"


class BrokenLogger:
    def info(self, event: str, /, **fields: object) -> None:
        raise OSError("disk full")

    debug = warning = info


async def test_a_failing_logger_does_not_fail_the_dial(caplog: pytest.LogCaptureFixture) -> None:
    stream = await LoggingLayer(logger=BrokenLogger()).layer(leaf_with(("tcp", None)))(TARGET)
    await stream.aclose()
    assert [record.name for record in caplog.records] == ["ziggurat", "ziggurat"]


async def test_a_logger_that_ends_the_program_does_not_leak_the_stream() -> None:
    near, _ = stream_pair()

    class Exit(BaseException):
        pass

    class Exiting:
        def info(self, event: str, /, **fields: object) -> None:
            if event == "dial.connected":
                raise Exit

        debug = warning = info

    async def leaf(uri: Uri, /) -> ByteStream:
        return near

    with pytest.raises(Exit):
        await LoggingLayer(logger=Exiting()).layer(leaf)(TARGET)
    assert near.closed


async def test_an_unconfigured_structlog_leaves_stdout_alone(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ziggurat"):
        stream = await LoggingLayer().layer(leaf_with(("proxy.connect", "one:1080")))(TARGET)
    await stream.aclose()
    assert [message.split()[0] for message in caplog.messages] == ["dial.started", "dial.connected"]
    assert "via=one:1080 elapsed=0.25" in caplog.messages[1]
    assert capsys.readouterr().out == ""
    assert not structlog.is_configured()


def test_repr_shows_the_settings_and_not_the_logger() -> None:
    assert repr(LoggingLayer(logger=BrokenLogger(), mask_target=True)) == "LoggingLayer(mask_target=True)"
    with pytest.raises(TypeError, match="mask_target must be a bool or a function"):
        LoggingLayer(mask_target="yes")  # type: ignore[arg-type]


# --- events above this layer --------------------------------------------------------------------------------------


def events(logs: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(entry["event"], entry["log_level"]) for entry in logs]


async def test_a_dial_is_connected_at_the_end_of_the_attempt(logs: list[dict[str, object]]) -> None:
    with dial(TARGET) as current:
        with current.attempt():
            await LoggingLayer().layer(leaf_with(("tcp", None)))(TARGET)
            assert events(logs) == [("dial.started", "info")]
            with phase("http2"):
                await anyio.sleep(0.5)
        assert events(logs) == [("dial.started", "info"), ("dial.connected", "info")]
        assert logs[1]["elapsed"] == 0.75
        await anyio.sleep(1)
    assert len(logs) == 2


async def test_a_failure_above_is_logged_as_one_failure_and_no_success(logs: list[dict[str, object]]) -> None:
    with pytest.raises(ConnectError), dial(TARGET) as current, current.attempt():  # noqa: PT012
        await LoggingLayer().layer(leaf_with(("tcp", None), ("proxy.connect", "one:1080")))(TARGET)
        with phase("http2"):
            raise ConnectError("it speaks SSH", hint="another port?")
    assert events(logs) == [("dial.started", "info"), ("dial.failed", "warning")]
    assert (logs[1]["phase"], logs[1]["via"]) == ("http2", "one:1080")
    assert logs[1]["error"] == "ConnectError: it speaks SSH; another port?"


async def test_a_limit_above_is_logged_as_the_reason(logs: list[dict[str, object]]) -> None:
    connector, _ = mock_connector("proxy.connect")
    with pytest.raises(ConnectTimeout):
        await TimeoutLayer(2.0, name="outermost").layer(LoggingLayer().layer(connector))(TARGET)
    assert events(logs) == [("dial.started", "info"), ("dial.failed", "warning")]
    assert (logs[1]["phase"], logs[1]["error"]) == (
        "proxy.connect",
        "ConnectTimeout: the limit 'outermost' of 2 s ran out",
    )


async def test_a_dial_cancelled_after_the_stack_returned_is_logged_as_cancelled(logs: list[dict[str, object]]) -> None:
    with anyio.move_on_after(1), dial(TARGET) as current, current.attempt():
        await LoggingLayer().layer(leaf_with(("tcp", None)))(TARGET)
        with phase("http2"):
            await anyio.sleep_forever()
    assert events(logs) == [("dial.started", "info"), ("dial.failed", "info")]
    assert (logs[1]["phase"], logs[1]["error"]) == ("http2", "cancelled")


async def test_each_attempt_in_a_dial_is_logged_once(logs: list[dict[str, object]]) -> None:
    with dial(TARGET) as current:
        for error in (ConnectRefused("no"), None):
            try:
                with current.attempt():
                    await LoggingLayer().layer(leaf_with(("tcp", None), error=error))(TARGET)
            except ConnectRefused:
                pass
    assert [event for event, _ in events(logs)] == ["dial.started", "dial.failed", "dial.started", "dial.connected"]


async def test_the_level_of_a_failure_is_the_users_choice(logs: list[dict[str, object]]) -> None:
    asked: list[BaseException] = []

    def level(error: BaseException) -> Literal["debug", "warning"]:
        asked.append(error)
        return "debug"

    layer = LoggingLayer(failure_level=level)
    with pytest.raises(ConnectRefused) as caught:
        await layer.layer(leaf_with(("tcp", None), error=ConnectRefused("no")))(TARGET)
    connector, _ = mock_connector("tcp")
    with anyio.move_on_after(1.0):
        await layer.layer(connector)(TARGET)
    assert events(logs)[1::2] == [("dial.failed", "debug"), ("dial.failed", "info")]
    assert asked == [caught.value]  # not about a dial that the caller cancelled
    with pytest.raises(TypeError, match="failure_level must be a function"):
        LoggingLayer(failure_level="debug")  # type: ignore[arg-type]


async def test_a_name_that_tls_verified_for_a_masked_target_is_masked_too(logs: list[dict[str, object]]) -> None:
    async def leaf(uri: Uri, /) -> ByteStream:
        with dial(uri), phase("tls", via="service.example") as entry:
            entry.host = uri.host
            raise TlsError("the certificate was refused")

    with pytest.raises(TlsError):
        await LoggingLayer(mask_target=True).layer(leaf)(TARGET)

    assert (logs[1]["phase"], logs[1]["via"]) == ("tls", None)
    assert "service" not in str(logs)


async def test_via_names_the_proxies_of_the_attempt_that_succeeded(logs: list[dict[str, object]]) -> None:
    async def leaf(uri: Uri, /) -> ByteStream:
        with dial(uri) as current:
            for name in ("one:1080", "two:1080"):
                try:
                    with current.trial(), phase("proxy.connect", via=name):
                        if name == "one:1080":
                            raise ProxyRefused("no")
                except ProxyRefused:
                    pass
            return current.established(stream_pair()[0])

    await LoggingLayer().layer(leaf)(TARGET)
    assert logs[1]["via"] == "two:1080"

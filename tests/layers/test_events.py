from __future__ import annotations

import logging

import pytest
import structlog
from structlog.testing import capture_logs

from ziggurat.layers.events import EventLogger, write_event


def test_an_unconfigured_structlog_prints_nothing_on_stdout(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="ziggurat"):
        write_event(None, "info", "dial.started", dial="ab", target="http://x:80", via=None)
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("ziggurat", "INFO", "dial.started dial=ab target=http://x:80")
    ]
    assert capsys.readouterr().out == ""
    assert not structlog.is_configured()


def test_without_logging_set_up_only_warnings_are_shown_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a program that never touched logging: pytest's own handlers hang on the root logger.
    monkeypatch.setattr(logging.getLogger("ziggurat"), "propagate", False)
    write_event(None, "info", "dial.started", dial="ab")
    write_event(None, "warning", "dial.failed", dial="ab")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "dial.failed dial=ab\n"


def test_a_peers_text_cannot_forge_a_second_line(caplog: pytest.LogCaptureFixture) -> None:
    write_event(None, "warning", "dial.failed", error="no\nroot logged in")
    assert "\n" not in caplog.messages[0]


def test_structlog_may_be_configured_between_two_events(caplog: pytest.LogCaptureFixture) -> None:
    write_event(None, "warning", "first")
    with capture_logs() as logs:
        write_event(None, "warning", "second", dial="ab")
    assert caplog.messages == ["first"]
    assert logs == [{"event": "second", "log_level": "warning", "dial": "ab"}]


def test_a_given_logger_is_used_even_if_structlog_is_not_configured() -> None:
    seen: list[object] = []
    logger: EventLogger = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[lambda _, level, event: seen.append((level, event)) or event["event"]]
    )
    write_event(logger, "debug", "dial.started", dial="ab")
    assert seen == [("debug", {"event": "dial.started", "dial": "ab"})]


def test_a_failing_logger_is_reported_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def info(self, event: str, /, **fields: object) -> None:
            raise KeyError("secret.test")

        debug = warning = info

    write_event(Broken(), "info", "dial.started", target="secret.test")
    assert caplog.messages == ["the event dial.started was lost: the logger raised KeyError"]

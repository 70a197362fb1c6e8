"""Where the command line's log goes."""

from __future__ import annotations

import json

import pytest
import structlog

from ziggurat.node.log import LogFormat, configure_log


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_events_are_json_objects_on_stderr_a_line_each(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_log(log_format)
    structlog.get_logger("ziggurat").warning("dial.failed", error="one\ntwo")
    out, err = capsys.readouterr()
    event = json.loads(err)

    assert out == ""
    assert err.count("\n") == 1
    assert (event["event"], event["level"], event["error"]) == ("dial.failed", "warning", "one\ntwo")
    assert event["timestamp"].endswith("Z")


def test_the_console_has_words_and_no_escape_sequences_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("console")
    structlog.get_logger("ziggurat").info("dial.started", target="http://x:1")
    out, err = capsys.readouterr()

    assert out == ""
    assert "dial.started" in err
    assert "http://x:1" in err
    assert "\x1b" not in err

from __future__ import annotations

from dataclasses import replace

import pytest

from ziggurat.layers.leakcheck import Finding, LeakReport, ProxyUse

GOOD = LeakReport((), (ProxyUse("127.0.0.1:9050", 2, 2),), 0, False, 1.0, 0)


@pytest.mark.parametrize(
    ("report", "failure"),
    [
        (GOOD, None),
        (replace(GOOD, code=-15, stopped=True), None),
        (replace(GOOD, code=-11), "the program ended by signal 11"),
        (replace(GOOD, code=3), "the program ended with 3"),
        (replace(GOOD, lost=5), "5 packets were not recorded"),
        (
            replace(GOOD, left=("torrentd (7)", "sh (8)")),
            "the program went on in the background, as torrentd (7), sh (8); let it run in the foreground",
        ),
        (replace(GOOD, proxies=(ProxyUse("p", 3, 0),)), "the proxy did not answer (3 tries)"),
        (replace(GOOD, proxies=()), "the program never used the proxy"),
    ],
)
def test_what_proves_nothing(report: LeakReport, failure: str | None) -> None:
    assert report.failure == failure
    assert report.clean == (failure is None)


def test_a_finding_is_not_clean() -> None:
    assert not replace(GOOD, findings=(Finding(0.0, "a (1)", "tcp", "192.0.2.1:1"),)).clean

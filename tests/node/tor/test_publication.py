from __future__ import annotations

import pytest

from ziggurat.node.tor import DescriptorUpload
from ziggurat.node.tor.publication import Publication


def after(*steps: str, service: str = "us") -> Publication:
    """Return the state after steps like ``UPLOAD dir1 a``, ``UPLOADED dir1``."""
    publication = Publication("us")
    for step in steps:
        action, directory, *descriptor = step.split()
        publication.take(DescriptorUpload(action, service, directory, *descriptor))
    return publication


@pytest.mark.parametrize(
    "steps",
    [
        [],
        ["UPLOAD 1 a", "UPLOADED 1"],  # one descriptor alone
        ["UPLOAD 1 a", "UPLOADED 1", "UPLOAD 2 b"],  # not answered
        ["UPLOAD 1 a", "UPLOAD 2 b", "UPLOADED 1", "FAILED 2"],  # none of b succeeded
        ["UPLOAD 1 a", "UPLOAD 1 b", "UPLOADED 1"],  # the directory has not answered for both
        ["UPLOAD 1 a", "UPLOAD 2 b", "UPLOAD 3 b", "UPLOADED 1", "UPLOADED 2"],
        ["UPLOADED 1", "UPLOADED 2"],
        ["CREATED 1 a", "RECEIVED 2 b"],
    ],
)
def test_not_published(steps: list[str]) -> None:
    assert not after(*steps).published


@pytest.mark.parametrize(
    "steps",
    [
        ["UPLOAD 1 a", "UPLOAD 2 b", "UPLOADED 2", "UPLOADED 1"],
        ["UPLOAD 1 a", "UPLOAD 1 b", "UPLOADED 1", "UPLOADED 1"],
        ["UPLOAD 1 a", "UPLOAD 2 a", "UPLOAD 3 b", "UPLOADED 1", "FAILED 2", "UPLOADED 3"],
        ["UPLOAD 1 a", "FAILED 1", "UPLOAD 2 b", "UPLOADED 2", "UPLOAD 3 a", "UPLOADED 3"],  # tried again
    ],
)
def test_published(steps: list[str]) -> None:
    assert after(*steps).published


@pytest.mark.parametrize(
    ("steps", "failed"),
    [
        ([], False),
        (["UPLOAD 1 a", "UPLOAD 2 a", "FAILED 1", "FAILED 2"], True),
        (["UPLOAD 1 a", "UPLOAD 2 a", "FAILED 1", "UPLOADED 2"], False),
        (["UPLOAD 1 a", "UPLOAD 2 a", "FAILED 1"], False),  # not answered
        (["UPLOAD 1 a", "FAILED 1", "UPLOAD 1 a", "UPLOADED 1"], False),  # tried again
        (["UPLOAD 1 a", "FAILED 1", "UPLOAD 2 b", "UPLOADED 2", "UPLOAD 3 c", "UPLOADED 3"], False),  # a's day is over
    ],
)
def test_what_counts_is_how_the_latest_uploads_went(steps: list[str], failed: bool) -> None:
    good = ["UPLOAD 1 a", "UPLOAD 2 b", "UPLOADED 1", "UPLOADED 2"]
    assert after(*steps).failed == failed
    assert after(*good, *steps).failed == failed
    assert after(*good).published


def test_other_services_do_not_count() -> None:
    assert not after("UPLOAD 1 a", "UPLOAD 2 b", "UPLOADED 2", "UPLOADED 1", service="another").published


def test_the_last_failure_is_kept() -> None:
    publication = after("UPLOAD 1 a", "UPLOADED 1")
    assert publication.last_failure is None
    publication.take(DescriptorUpload("UPLOAD", "us", "2", "b"))
    publication.take(DescriptorUpload("FAILED", "us", "2", None, "UPLOAD_REJECTED"))

    assert publication.last_failure == "UPLOAD_REJECTED"

"""Our core, h2 and nghttp2 read the same random scripts and make the same of them, but for what is listed here.

`HTTP2_SCRIPTS` sets how many; the default takes about two seconds.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.http2.oracles import CONNECTION_ERROR, H2, STREAM_ERROR, Event, Ngh2, Ours, Side, merged
from tests.services.http2.scripts import CHOICES, MUTATIONS, Choice, Mutation, Step, shown, write
from ziggurat.services.http2.frames import CONTINUATION, END_HEADERS, HEADERS

SCRIPTS = int(os.environ.get("HTTP2_SCRIPTS", "100"))


CUTS = st.lists(st.sampled_from([1, 2, 8, 9, 10, 11, 50, 300, 2000]), min_size=1, max_size=10)


class Difference(NamedTuple):
    """A class of differences, where RFC 9113 is on our side or leaves the choice.

    Attributes:
        ours: what we make of a frame: an error, or nothing wrong.
        theirs: what the other makes of it.
        reason: our own words for our error, or the other's where only that one sees one; a regular expression.
        about: what it is about, and the section of RFC 9113.
    """

    ours: str
    theirs: str
    reason: str
    about: str


FINE = "fine"

AGAINST_BOTH = [
    Difference(STREAM_ERROR, CONNECTION_ERROR, "WINDOW_UPDATE of", "a bad WINDOW_UPDATE on a stream (6.9, 6.9.1)"),
    Difference(
        STREAM_ERROR, CONNECTION_ERROR, "stream's window", "more DATA than a stream's window; either may be (6.9.1)"
    ),
    Difference(STREAM_ERROR, CONNECTION_ERROR, "DATA before", "DATA before the headers, which is malformed (8.1.1)"),
    Difference(
        CONNECTION_ERROR, FINE, "on stream .*, which has ended", "frames after both ends; may be an error (5.1)"
    ),
]
AGAINST_H2 = [
    Difference(
        STREAM_ERROR,
        CONNECTION_ERROR,
        "(response|request) has no|the :path|pseudo-header field|field name|connection-specific|content-length|"
        "the :status|line break|twice|regular field|trailers that do not|1xx response that ends|CONNECT request",
        "a malformed message (8.1.1)",
    ),
    Difference(STREAM_ERROR, CONNECTION_ERROR, "a list of headers of", "too large a list of headers (10.5.1)"),
    Difference(STREAM_ERROR, CONNECTION_ERROR, "on itself", "a stream that depends on itself (RFC 7540 5.3.1)"),
    Difference(STREAM_ERROR, FINE, "content-length", "HEADERS that end a stream before its content has come (8.1.1)"),
    Difference(STREAM_ERROR, FINE, "the :status", "a status that is no three digits (8.3.2), or 101 (8.6)"),
    Difference(STREAM_ERROR, FINE, "the :path", "a path that begins with no slash (8.3.1)"),
    Difference(STREAM_ERROR, FINE, "the field name", "a field name that is no token (8.2.1, RFC 9110 5.1)"),
    Difference(CONNECTION_ERROR, FINE, "RST_STREAM on .* never", "RST_STREAM on an idle stream (6.4)"),
    Difference(FINE, CONNECTION_ERROR, "on itself", "a closed stream that depends on itself (RFC 7540 5.3.1)"),
    Difference(
        FINE,
        CONNECTION_ERROR,
        "RECV_INFORMATIONAL|on informational responses",
        "a 1xx response on a stream that we have reset (5.1)",
    ),
    Difference(
        FINE, CONNECTION_ERROR, "have an :authority or Host", "a request with neither :authority nor host (8.3.1)"
    ),
    Difference(FINE, CONNECTION_ERROR, "non-compliant data", "WINDOW_UPDATE of 0 on a closed stream (5.1)"),
    Difference(
        FINE, CONNECTION_ERROR, "May not increment", "a setting too large for the window of a closed stream (6.9.2)"
    ),
    Difference(FINE, CONNECTION_ERROR, "surrounded by", "space around a value (8.2.1 is against us: see below)"),
    Difference(STREAM_ERROR, CONNECTION_ERROR, "HEADERS after END_STREAM", "a 1xx response after END_STREAM (5.1)"),
    Difference(
        CONNECTION_ERROR, FINE, "PUSH_PROMISE, which", "PUSH_PROMISE without END_HEADERS, for which h2 waits (8.4)"
    ),
    Difference(
        FINE,
        CONNECTION_ERROR,
        "Oversized header block",
        "too large a list of headers on a stream that we have reset (5.1)",
    ),
    Difference(FINE, CONNECTION_ERROR, "StreamIDTooLow", "HEADERS on a stream that was skipped, and reset by us (5.1)"),
    Difference(FINE, CONNECTION_ERROR, "invalid padding", "HEADERS with nothing but padding (6.2)"),
    Difference(
        FINE,
        CONNECTION_ERROR,
        "Setting 8 has",
        "a bad SETTINGS_ENABLE_CONNECT_PROTOCOL, which is unknown to us (RFC 8441)",
    ),
]
AGAINST_NGH2 = [
    Difference(STREAM_ERROR, CONNECTION_ERROR, "after END_STREAM", "frames when half-closed (remote) (5.1)"),
    Difference(STREAM_ERROR, CONNECTION_ERROR, "a list of headers of", "too large a list of headers (10.5.1)"),
    Difference(STREAM_ERROR, FINE, "a list of headers of", "the same, as its limit is another (10.5.1)"),
    Difference(STREAM_ERROR, FINE, "on itself", "a stream that depends on itself (RFC 7540 5.3.1)"),
    Difference(CONNECTION_ERROR, FINE, "on itself", "an idle stream that depends on itself (RFC 7540 5.3.1)"),
    Difference(CONNECTION_ERROR, FINE, "PRIORITY on stream 0", "PRIORITY on stream 0 (6.3)"),
    Difference(
        CONNECTION_ERROR, FINE, "with a higher number", "a request with a lower number than the last one (5.1.1)"
    ),
    Difference(
        FINE, CONNECTION_ERROR, "unexpected ACK", "an acknowledgement of no SETTINGS (6.5.3 says nothing of it)"
    ),
    Difference(FINE, CONNECTION_ERROR, "invalid last_stream_id", "GOAWAY with an odd number (6.8 says nothing of it)"),
    Difference(
        FINE, STREAM_ERROR, "RST_STREAM 1", "values that RFC 9110 forbids (5.5, 7.2, 8.6), which is not ours to judge"
    ),
]


def in_whole_blocks(steps: list[Step]) -> list[Step]:
    """Put a header block's frames together, and whatever interrupts it; one that never ends is left out."""
    result: list[Step] = []
    begun = b""
    for step in steps:
        if begun and step.data:
            begun += step.data
        elif step.data and step.data[3] == HEADERS and not step.data[4] & END_HEADERS:
            begun = step.data
            continue
        else:
            result.append(step)
            continue
        if step.data[3] != CONTINUATION or step.data[4] & END_HEADERS:
            result.append(Step(begun))
            begun = b""
    return result


def verdict(events: list[Event]) -> str:
    kinds = [str(event[0]) for event in events]
    return CONNECTION_ERROR if CONNECTION_ERROR in kinds else STREAM_ERROR if STREAM_ERROR in kinds else FINE


def compare(steps: list[Step], ours: Ours, theirs: Side, differences: list[Difference]) -> str | None:
    """Take the steps one by one until both fail or differ. Return what the difference is about, if there is one."""
    for number, step in enumerate(steps):
        if step.action and not ours.can(step):
            continue
        our_events, their_events = ours.take(step), theirs.take(step)
        if our_events != their_events:
            ending = verdict(our_events), verdict(their_events)
            reason = theirs.reason if ending[0] == FINE else ours.reason
            for difference in differences:
                if ending == difference[:2] and re.search(difference.reason, reason):
                    return difference.about
            pytest.fail(
                f"step {number}: {our_events} ({ours.reason}) against {their_events} ({theirs.reason})\n"
                + shown(steps[: number + 1])
            )
        if ours.failed or theirs.over:
            return None
    return None


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@settings(max_examples=SCRIPTS)
@given(choices=CHOICES, mutation=MUTATIONS)
def test_we_make_of_a_script_what_h2_makes_of_it(client: bool, choices: list[Choice], mutation: Mutation) -> None:
    compare(
        write(choices, mutation, client=not client), Ours(client=client), H2(client=client), AGAINST_BOTH + AGAINST_H2
    )


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@settings(max_examples=SCRIPTS)
@given(choices=CHOICES, mutation=MUTATIONS)
def test_we_make_of_a_script_what_nghttp2_makes_of_it(client: bool, choices: list[Choice], mutation: Mutation) -> None:
    pytest.importorskip("ngh2", reason="nghttp2's binding is not installed")
    steps = in_whole_blocks(write(choices, mutation, client=not client))
    compare(steps, Ours(client=client), Ngh2(client=client), AGAINST_BOTH + AGAINST_NGH2)


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@settings(max_examples=SCRIPTS)
@given(choices=CHOICES, mutation=MUTATIONS, cuts=CUTS)
def test_the_cuts_make_no_difference(client: bool, choices: list[Choice], mutation: Mutation, cuts: list[int]) -> None:
    """Not even in scripts that end in an error, nor in what is sent."""
    steps = write(choices, mutation, client=not client)
    whole, cut = Ours(client=client), Ours(client=client)
    for step in steps:
        if step.action and not whole.can(step):
            continue
        events = whole.take(step)
        pieces: list[Event] = []
        data, number = step.data, 0
        while data:
            size = cuts[number % len(cuts)]
            pieces += cut.take(Step(data[:size]))
            data, number = data[size:], number + 1
        if not step.data:
            cut.take(step)

        assert merged(pieces) == events
    assert cut.core.take() == whole.core.take()


def test_the_documentation_lists_the_differences() -> None:
    page = Path(__file__).parents[3] / "docs/explanation/http2.md"
    listed = page.read_text(encoding="utf-8").partition("<!-- differences -->")[2].strip().partition("\n\n")[0]
    known = (("both", AGAINST_BOTH), ("h2", AGAINST_H2), ("nghttp2", AGAINST_NGH2))

    assert listed.splitlines()[2:] == [
        f"| {difference.about} | {difference.ours} | {who}: {difference.theirs} |"
        for who, differences in known
        for difference in differences
    ]

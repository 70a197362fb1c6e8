"""Our core, h2 and nghttp2 read the same random scripts and make the same of them, but for what is listed here.

`HTTP2_SCRIPTS` sets how many; the default takes about two seconds.
"""

from __future__ import annotations

import os
import re
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
        section: where RFC 9113 says so, and what.
    """

    ours: str
    theirs: str
    reason: str
    section: str


FINE = "fine"

AGAINST_BOTH = [
    Difference(STREAM_ERROR, CONNECTION_ERROR, "WINDOW_UPDATE of", "6.9, 6.9.1: on a stream, a stream error"),
    Difference(STREAM_ERROR, CONNECTION_ERROR, "stream's window", "6.9.1: may be either; we harm one stream only"),
    Difference(STREAM_ERROR, CONNECTION_ERROR, "DATA before", "8.1.1: a malformed message is a stream error"),
    Difference(CONNECTION_ERROR, FINE, "(DATA|HEADERS) on stream .*, which has ended", "5.1: closed, may be an error"),
]
AGAINST_H2 = [
    *AGAINST_BOTH,
    Difference(
        STREAM_ERROR,
        CONNECTION_ERROR,
        "(response|request) has no|the :path|pseudo-header field|field name|connection-specific|content-length|the :status|"
        "line break|twice|regular field|trailers that do not|1xx response that ends|CONNECT request",
        "8.1.1: a malformed message is a stream error",
    ),
    Difference(
        STREAM_ERROR, CONNECTION_ERROR, "a list of headers of", "10.5.1: may be either; we harm one stream only"
    ),
    Difference(
        STREAM_ERROR, CONNECTION_ERROR, "depends on itself", "RFC 7540 5.3.1: a stream error; dropped by RFC 9113"
    ),
    Difference(STREAM_ERROR, FINE, "content-length", "8.1.1: h2 lets headers end a stream whatever was announced"),
    Difference(STREAM_ERROR, FINE, "the :status", "8.3.2: three digits; 8.6: not 101"),
    Difference(STREAM_ERROR, FINE, "the :path", "8.3.1: begins with a slash"),
    Difference(STREAM_ERROR, FINE, "the field name", "8.2.1, RFC 9110 5.1: a name is a token"),
    Difference(CONNECTION_ERROR, FINE, "RST_STREAM on stream .*, which was never", "6.4: on an idle stream, an error"),
    Difference(FINE, CONNECTION_ERROR, "RECV_INFORMATIONAL_HEADERS", "5.1: closed, ignored after our reset"),
    Difference(FINE, CONNECTION_ERROR, "have an :authority or Host", "8.3.1: a request may have neither"),
    Difference(
        FINE, CONNECTION_ERROR, "frame with non-compliant data", "5.1: WINDOW_UPDATE on a closed stream, ignored"
    ),
    Difference(FINE, CONNECTION_ERROR, "May not increment flow control", "6.9.2: not for streams that are closed"),
    Difference(FINE, CONNECTION_ERROR, "surrounded by whitespace", "8.2.1: see `test_any_other_value_is_taken`"),
]
AGAINST_NGH2 = [
    *AGAINST_BOTH,
    Difference(STREAM_ERROR, CONNECTION_ERROR, "(DATA|HEADERS) after END_STREAM", "5.1: half-closed, a stream error"),
    Difference(
        STREAM_ERROR, CONNECTION_ERROR, "a list of headers of", "10.5.1: may be either; we harm one stream only"
    ),
    Difference(STREAM_ERROR, FINE, "a list of headers of", "10.5.1: its limit is another"),
    Difference(STREAM_ERROR, FINE, "depends on itself", "RFC 7540 5.3.1: a stream error; dropped by RFC 9113"),
    Difference(CONNECTION_ERROR, FINE, "depends on itself", "RFC 7540 5.3.1: on an idle stream, no stream to reset"),
    Difference(CONNECTION_ERROR, FINE, "PRIORITY on stream 0", "6.3: a connection error"),
    Difference(CONNECTION_ERROR, FINE, "a stream with a higher number", "5.1.1: a connection error"),
    Difference(FINE, CONNECTION_ERROR, "SETTINGS: unexpected ACK", "6.5.3: says nothing of it; h2 ignores it, too"),
    Difference(FINE, CONNECTION_ERROR, "GOAWAY: invalid last_stream_id", "6.8: says nothing of it"),
    Difference(FINE, STREAM_ERROR, "RST_STREAM 1", "RFC 9110 5.5, 7.2, 8.6: it judges values, which is not ours"),
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
    """Take the steps one by one until both fail or differ. Return the section of the difference, if there is one."""
    for number, step in enumerate(steps):
        if step.action and not ours.can(step):
            continue
        our_events, their_events = ours.take(step), theirs.take(step)
        if our_events != their_events:
            ending = verdict(our_events), verdict(their_events)
            reason = theirs.reason if ending[0] == FINE else ours.reason
            for difference in differences:
                if ending == difference[:2] and re.search(difference.reason, reason):
                    return difference.section
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
    compare(write(choices, mutation, client=not client), Ours(client=client), H2(client=client), AGAINST_H2)


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@settings(max_examples=SCRIPTS)
@given(choices=CHOICES, mutation=MUTATIONS)
def test_we_make_of_a_script_what_nghttp2_makes_of_it(client: bool, choices: list[Choice], mutation: Mutation) -> None:
    pytest.importorskip("ngh2", reason="nghttp2's binding is not installed")
    steps = in_whole_blocks(write(choices, mutation, client=not client))
    compare(steps, Ours(client=client), Ngh2(client=client), AGAINST_NGH2)


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

from __future__ import annotations

from grpclib.exceptions import StreamTerminatedError

import ziggurat.services
from ziggurat.services.channel.refusal import NOT_PROCESSED, NOT_SENT, CallRefused


def test_who_catches_grpclibs_error_catches_it_and_is_told_that_it_is_safe_to_send_again() -> None:
    assert issubclass(CallRefused, StreamTerminatedError)
    assert ziggurat.services.CallRefused is CallRefused
    assert all("safe to send it again" in text for text in (NOT_PROCESSED, NOT_SENT))

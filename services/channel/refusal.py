"""The error of a call that the server has not seen."""

from __future__ import annotations

from grpclib.exceptions import StreamTerminatedError

__all__ = ["NOT_PROCESSED", "NOT_SENT", "CallRefused"]

NOT_PROCESSED = "the call was not processed, so it is safe to send it again"
NOT_SENT = "the call was not sent, so it is safe to send it again"


class CallRefused(StreamTerminatedError):
    """The peer has not processed this call, and will not: sending it again is safe."""

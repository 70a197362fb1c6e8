"""A logger that keeps what tests of layers look at."""

from __future__ import annotations


class Recorder:
    """Keeps the names of the events and the errors of those that have one."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.errors: list[object] = []

    def info(self, event: str, /, **fields: object) -> None:
        self.events.append(event)
        if "error" in fields:
            self.errors.append(fields["error"])

    debug = warning = info

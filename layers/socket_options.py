"""Set options on the TCP socket at the bottom of a stream, or say that there is none.

The socket is found through any number of wrappers by anyio's typed attribute ``SocketAttribute.raw_socket``, which
every well-behaved wrapper forwards.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from anyio.abc import ByteStream, SocketAttribute

from ziggurat.layers.events import write_event
from ziggurat.services.dial import phase
from ziggurat.services.errors import ConnectError
from ziggurat.services.ledger import Ledger
from ziggurat.services.system_error import reason

__all__ = ["SocketOption", "set_options"]


@dataclass(frozen=True, slots=True)
class SocketOption:
    """One ``setsockopt``. ``number`` is ``None`` where the system does not know the option."""

    name: str
    level: int
    number: int | None
    value: int


class _Socket(Protocol):
    @property
    def family(self) -> int: ...
    def setsockopt(self, level: int, optname: int, value: int, /) -> None: ...


def set_options(
    stream: ByteStream, options: Sequence[SocketOption], *, name: str, ledger: Ledger, require: bool
) -> None:
    """Set ``options`` on the stream's TCP socket.

    What could not be set is said in the log (event ``<name>.skipped`` with the dial's id, at level warning) and in the
    ledger (an entry ``name`` with a note); the other options are set all the same.

    Args:
        stream: any stream.
        options: in the order in which to set them.
        name: of the entry in the ledger, and of the phase in an error.
        ledger: of the dial.
        require: raise instead.

    Raises:
        ConnectError: ``require``, and an option could not be set. Not transient, unless it was the system that refused.
    """
    problems, transient = _try(stream, options)
    if not problems:
        return
    text = "; ".join(problems)
    if require:
        with phase(name):
            raise ConnectError(text, hint="leave out require=True to go on without", transient=transient)
    ledger.note(name, text)
    # Not the target: a LoggingLayer above may be there to mask it.
    write_event(None, "warning", f"{name}.skipped", dial=ledger.id, reason=text)


def _try(stream: ByteStream, options: Sequence[SocketOption]) -> tuple[list[str], bool]:
    raw: _Socket | None = stream.extra(SocketAttribute.raw_socket, None)
    if raw is None:
        return [f"no socket below {type(stream).__name__}"], False
    if raw.family not in (socket.AF_INET, socket.AF_INET6):
        return [f"not a TCP socket ({getattr(raw.family, 'name', raw.family)})"], False
    problems: list[str] = []
    transient = False
    for option in options:
        if option.number is None:
            problems.append(f"{option.name} is not known on this system")
            continue
        try:
            raw.setsockopt(option.level, option.number, option.value)
        except OSError as error:  # the connection may be gone already
            problems.append(f"{option.name}: {reason(error)}")
            transient = True
    return problems, transient

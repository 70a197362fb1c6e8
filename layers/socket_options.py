"""Set options on the TCP socket below a stream.

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
    """One ``setsockopt`` call. ``number`` is ``None`` if the system does not define the option."""

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

    An option that cannot be set is logged (event ``<name>.skipped`` with the dial's id) and recorded in the ledger (an
    entry ``name`` with a note); the others are still set. The event is a warning if there is a TCP socket, else for
    debugging: a stream in memory or on a unix socket needs no such option.

    Args:
        stream: any stream.
        options: the options, in the order in which to set them.
        name: name of the entry in the ledger, and of the phase in an error.
        ledger: the dial's ledger.
        require: whether to raise instead.

    Raises:
        ConnectError: an option could not be set, and ``require`` is true. Transient only if the system refused it.
    """
    raw: _Socket | None = stream.extra(SocketAttribute.raw_socket, None)
    over_tcp = raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6)
    transient = False
    if raw is None:
        problems = [f"no socket below {type(stream).__name__}"]
    elif not over_tcp:
        problems = [f"not a TCP socket ({getattr(raw.family, 'name', raw.family)})"]
    else:
        problems, transient = _try(raw, options)
    if not problems:
        return
    text = "; ".join(problems)
    if require:
        with phase(name):
            raise ConnectError(text, hint="without require=True the dial goes on", transient=transient)
    ledger.note(name, text)
    # Without the target, which a LoggingLayer above may mask.
    write_event(None, "warning" if over_tcp else "debug", f"{name}.skipped", dial=ledger.id, reason=text)


def _try(raw: _Socket, options: Sequence[SocketOption]) -> tuple[list[str], bool]:
    problems: list[str] = []
    transient = False
    for option in options:
        if option.number is None:
            problems.append(f"{option.name} is not supported on this system")
            continue
        try:
            raw.setsockopt(option.level, option.number, option.value)
        except OSError as error:  # e.g. the connection was lost
            problems.append(f"{option.name}: {reason(error)}")
            transient = True
    return problems, transient

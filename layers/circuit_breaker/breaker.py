"""Circuits: closed while dials succeed, open after several failures in a row, half-open while a probe is out.

::

    closed     --failures in a row, within the window--> open
    open       --the cooldown is over, and a dial comes--> half-open; that dial is the probe, all others are refused
    half-open  --the probe succeeds--> closed
    half-open  --the probe fails--> open, for longer
    half-open  --the probe says nothing--> half-open; the next dial is the probe

A probe says nothing if its caller was cancelled, or if the failure was another's fault. It must give its place back
then, or the circuit would stay half-open for ever (resilience4j #544, #935, Polly #311). It also loses its place after
another cooldown, for a dial whose outcome becomes known late.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Literal, TypeAlias, cast

from anyio.lowlevel import current_token

from ziggurat.layers.circuit_breaker.fault import by_hop
from ziggurat.layers.keys import Key, by_authority, name_of
from ziggurat.services.backoff import Backoff
from ziggurat.services.clock import running_clock
from ziggurat.services.errors import CircuitOpen, ConnectError
from ziggurat.services.uri import Uri
from ziggurat.services.validation import check_count, check_seconds

__all__ = ["Breaker", "CircuitState", "Ticket"]

ROUNDING = 1e-6
"""Seconds. Who waits as long as it was told must be let through, though a timer may fire a little early."""

CircuitState: TypeAlias = Literal["closed", "open", "half-open"]


class Breaker:
    """A circuit for each key, which stacks share if they are given the same object.

    A circuit that is closed and has no recent failures takes no memory.

    Args:
        failures: how many failures in a row open a circuit.
        window: seconds within which they must happen.
        cooldown: how long a circuit stays open, the first time and after each probe that fails. The jitter keeps many
            clients from probing together.
        key: a function of the Uri; dials with equal keys share a circuit. `by_authority`, `by_host`, `by_network` or
            your own.
        fault: whether an error is the fault of what the layer was asked to dial; see `by_hop`.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    __slots__ = ("_circuits", "_cooldown", "_failures", "_key", "_token", "_window", "fault")

    def __init__(
        self,
        failures: int = 5,
        *,
        window: float = 60.0,
        cooldown: Backoff | None = None,
        key: Key = by_authority,
        fault: Callable[[Uri, ConnectError], bool] = by_hop,
    ) -> None:
        check_count("failures", failures, optional=False)
        check_seconds("window", window, optional=False)
        if not isinstance(cast(object, cooldown), Backoff | None):
            raise TypeError(f"cooldown must be a Backoff or None, not {cooldown!r}")
        for name, function in (("key", key), ("fault", fault)):
            if not callable(cast(object, function)):
                raise TypeError(f"{name} must be a function, not {function!r}")
        self.fault = fault
        self._failures = failures
        self._window = window
        self._cooldown = Backoff(30.0, factor=2.0, jitter=0.1, maximum=1800.0) if cooldown is None else cooldown
        self._key = key
        self._circuits: OrderedDict[Hashable, _Circuit] = OrderedDict()
        self._token: object = None

    @property
    def keys(self) -> int:
        """How many circuits are remembered: those that are not closed, or have failures."""
        return len(self._circuits)

    def state(self, uri: Uri) -> CircuitState:
        """Return the state of the circuit of ``uri``. Call it on an event loop."""
        circuit = self._circuits.get(self._key(uri))
        if circuit is None or not circuit.opened:
            return "closed"
        return "open" if circuit.probe is None and circuit.until > running_clock()() else "half-open"

    def admit(self, uri: Uri) -> Ticket:
        """Let a dial through; its outcome must be reported to the ticket.

        Raises:
            CircuitOpen: the circuit is open, or its probe is out.
        """
        self._on_this_loop()
        key = self._key(uri)
        ticket = Ticket(self, key)
        circuit = self._circuits.get(key)
        if circuit is not None and circuit.opened:
            now = running_clock()()
            left = circuit.until - now
            if left > ROUNDING:
                failed = f"{circuit.failures} dials in a row have failed"
                raise CircuitOpen(
                    failed if circuit.probe is None else "a probe is under way",
                    left,
                    hint=f"the circuit of {key} lets the next probe through in {left:.2f} s",
                )
            circuit.probe = ticket
            ticket.probe = True
            circuit.until = now + self._cooldown.delay(circuit.opened)
        return ticket

    def end(self, ticket: Ticket, success: bool | None) -> None:
        """Take note of the outcome of a dial; called by its ticket."""
        key = ticket.key
        circuit = self._circuits.get(key)
        probing = circuit is not None and circuit.probe is ticket
        if circuit is None or not circuit.opened:
            if success:
                self._circuits.pop(key, None)
            elif success is not None:
                self._count(key)
        elif success and ticket.probe:
            del self._circuits[key]  # also of a probe that has lost its place
        elif probing:
            circuit.probe = None
            circuit.until = running_clock()()
            if success is not None:
                self._open(circuit)

    def _count(self, key: Hashable) -> None:
        now = running_clock()()
        circuit = self._circuits.get(key)
        if circuit is None:
            self._forget(now)
            circuit = self._circuits[key] = _Circuit(now)
        elif now - circuit.since > self._window:
            circuit.since, circuit.failures = now, 0
        circuit.failures += 1
        if circuit.failures >= self._failures:
            self._open(circuit)

    def _open(self, circuit: _Circuit) -> None:
        circuit.opened += 1
        circuit.until = running_clock()() + self._cooldown.delay(circuit.opened)

    def _forget(self, now: float) -> None:
        # For each new key two old ones are looked at, so that all are, in turn, and the number stays bounded.
        for _ in range(min(2, len(self._circuits))):
            key, circuit = self._circuits.popitem(last=False)
            if max(circuit.since, circuit.until) + self._window > now or circuit.probe is not None:
                self._circuits[key] = circuit

    def _on_this_loop(self) -> None:
        token = current_token()
        if self._token != token:
            self._circuits.clear()  # its times are those of another clock
            self._token = token

    def __repr__(self) -> str:
        shown = [f"failures={self._failures}", f"window={self._window:g}", f"cooldown={self._cooldown}"]
        shown.append(f"key={name_of(self._key)}")
        if self.fault is not by_hop:
            shown.append(f"fault={getattr(self.fault, '__qualname__', repr(self.fault))}")
        return f"Breaker({', '.join(shown)})"


class _Circuit:
    """The circuit of a key that has failed.

    ``since`` is the time of its first failure in a row, ``opened`` how often it was opened since it was closed, and
    ``until`` the time when the next probe may start.
    """

    __slots__ = ("failures", "opened", "probe", "since", "until")

    def __init__(self, since: float) -> None:
        self.since = since
        self.failures = 0
        self.opened = 0
        self.until = since
        self.probe: Ticket | None = None


class Ticket:
    """The right to one dial. The first call of `end` counts.

    Attributes:
        key: the key of the circuit.
        probe: whether it is or was the probe of a half-open circuit.
    """

    __slots__ = ("_breaker", "_ended", "key", "probe")

    def __init__(self, breaker: Breaker, key: Hashable) -> None:
        self.key = key
        self.probe = False
        self._breaker = breaker
        self._ended = False

    def end(self, success: bool | None) -> None:
        """Report the outcome; ``None`` if it says nothing about what was dialled."""
        if not self._ended:
            self._ended = True
            self._breaker.end(self, success)

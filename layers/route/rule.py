"""One rule of a route: which targets it fits, and which way they go."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, cast, get_args, runtime_checkable

from ziggurat.layers.layer import Layer, check_connector
from ziggurat.layers.proxy import masked_proxy, proxy_layers
from ziggurat.layers.redaction import hide_arguments
from ziggurat.layers.route.decision import Way
from ziggurat.services.host import Network, contains, is_loopback, is_private, is_subdomain, literal, parse_network
from ziggurat.services.onion import is_onion
from ziggurat.services.service import Connector
from ziggurat.services.uri import DEFAULT_PORTS, UNIX, Uri

__all__ = ["HostClass", "Rule", "Via", "host_classes"]

HostClass: TypeAlias = Literal["ipv4", "ipv6", "onion", "loopback", "private"]

CLASSES: tuple[HostClass, ...] = get_args(HostClass)
SCHEMES = (*DEFAULT_PORTS, *UNIX)


@runtime_checkable
class _HasLayers(Protocol):
    """A `ServiceBuilder`, which cannot be imported here: it imports this module."""

    layers: tuple[Layer, ...]

    def service(self, connector: Connector, /) -> Connector: ...


Via: TypeAlias = str | Uri | Layer | Connector | _HasLayers | Sequence[str | Uri | Layer]
"""``"direct"``, ``"refuse"``, a proxy's URL, a list of URLs (the first is dialled by this machine), a layer, a list of
layers (outermost first), a ``ServiceBuilder``, or a connector that dials by itself."""


@dataclass(frozen=True, slots=True, init=False)
class Rule:
    """A rule for `RouteLayer`. It fits a target that meets every condition given; without one, any target.

    A condition takes one value or a list, of which one must fit.

    Args:
        via: the way: ``"direct"``; ``"refuse"``; a proxy's URL, or a list of them for a chain, see `proxy_layers`; a
            layer, a list of layers or a `ServiceBuilder`, which the dial then takes; or a connector of its own.
        scheme: the target's scheme: ``http``, ``https``, ``tcp``, ``unix``.
        suffix: a domain: ``example.com`` fits that name and all below it, and so does ``.example.com``. Never an
            address.
        cidr: an address or a network, ``10.0.0.0/8``. Literals only: a name is not resolved, and does not fit.
        port: the target's port.
        class_: ``ipv4`` or ``ipv6`` for addresses, ``onion`` for names below ``.onion``, ``loopback`` for this
            machine, ``private`` for addresses not reached over the internet (RFC 1918 and alike).
        name: what errors call the rule; ``None`` for its number and conditions.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    scheme: tuple[str, ...]
    suffix: tuple[str, ...]
    cidr: tuple[Network, ...]
    port: tuple[int, ...]
    class_: tuple[HostClass, ...]
    name: str | None
    way: Way
    via: str
    layers: tuple[Layer, ...] = field(repr=False)
    connector: Connector | None = field(repr=False)

    @hide_arguments
    def __init__(
        self,
        *,
        via: Via,
        scheme: str | Iterable[str] = (),
        suffix: str | Iterable[str] = (),
        cidr: str | Iterable[str] = (),
        port: int | Iterable[int] = (),
        class_: HostClass | Iterable[HostClass] = (),
        name: str | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "scheme", _values("scheme", scheme, _scheme))
        put(self, "suffix", _values("suffix", suffix, _suffix))
        put(self, "cidr", _values("cidr", cidr, _cidr))
        put(self, "port", _values("port", port, _port))
        put(self, "class_", _values("class", class_, _class))
        put(self, "name", name)
        for attribute, value in zip(("way", "via", "layers", "connector"), _way(via), strict=True):
            put(self, attribute, value)

    def fits(self, uri: Uri) -> bool:
        """Whether the rule fits ``uri``. Nothing is resolved."""
        if self.scheme and uri.scheme not in self.scheme:
            return False
        if self.port and uri.port not in self.port:
            return False
        if self.class_ and host_classes(uri).isdisjoint(self.class_):
            return False
        if self.suffix and (uri.is_literal or not any(is_subdomain(uri.host, each) for each in self.suffix)):
            return False
        if self.cidr:
            address = literal(uri.host)
            return address is not None and any(contains(network, address) for network in self.cidr)
        return True

    def map_layers(self, change: Callable[[tuple[Layer, ...]], tuple[Layer, ...]]) -> Rule:
        """Return the same rule, with ``change`` applied to its layers."""
        twin = copy.copy(self)
        object.__setattr__(twin, "layers", change(self.layers))
        return twin

    @property
    def conditions(self) -> str:
        """The conditions in words: ``suffix onion, port 80``; ``any target`` without one."""
        given = [
            f"{name} {' or '.join(map(str, values))}"
            for name, values in (
                ("scheme", self.scheme),
                ("suffix", self.suffix),
                ("cidr", self.cidr),
                ("port", self.port),
                ("class", self.class_),
            )
            if values
        ]
        return ", ".join(given) or "any target"


def host_classes(uri: Uri) -> frozenset[HostClass]:
    """Return the classes of a target by its text alone; none for most names."""
    classes = set[HostClass]()
    if is_loopback(uri):
        classes.add("loopback")
    if uri.is_unix:
        return frozenset(classes)
    address = literal(uri.host) if uri.is_literal else None
    if address is None:
        if is_onion(uri.host):
            classes.add("onion")
        return frozenset(classes)
    classes.add("ipv6" if address.version == 6 else "ipv4")
    if is_private(address):
        classes.add("private")
    return frozenset(classes)


def _values(name: str, given: object, read: Callable[[str, object], object]) -> tuple[object, ...]:
    if isinstance(given, (str, int)):
        return (read(name, given),)
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise TypeError(f"{name} must be a value or a list of values, not {given!r}")
    return tuple(read(name, each) for each in cast("Iterable[object]", given))


def _scheme(name: str, value: object) -> str:
    if value not in SCHEMES:
        raise ValueError(f"bad {name}: {value!r}; expected {', '.join(SCHEMES)}")
    return str(value)


def _suffix(name: str, value: object) -> str:
    expected = "a domain, e.g. .example.com"
    if not isinstance(value, str):
        raise TypeError(f"bad {name}: {value!r}; expected {expected}")
    if value.startswith("*"):
        raise ValueError(f"bad {name}: {value!r}; a suffix has no *: write {value.lstrip('*') or '.example.com'}")
    try:
        domain = Uri("tcp", value.removeprefix("."), 1)
    except ValueError as error:
        raise ValueError(f"bad {name}: {value!r} ({error}); expected {expected}") from None
    if domain.is_literal:
        raise ValueError(f"bad {name}: {value!r} is an address; write it as cidr")
    return domain.host.removesuffix(".")


def _cidr(name: str, value: object) -> Network:
    network = parse_network(value) if isinstance(value, str) else None
    if network is None:
        raise ValueError(f"bad {name}: {value!r}; expected an IP address or IP/BITS")
    return network


def _port(name: str, value: object) -> int:
    if type(value) is not int or not 0 < value < 65536:
        raise ValueError(f"bad {name}: {value!r}; expected a number from 1 to 65535")
    return value


def _class(name: str, value: object) -> HostClass:
    for each in CLASSES:
        if each == value:
            return each
    raise ValueError(f"bad {name}: {value!r}; expected {', '.join(CLASSES)}")


def _way(via: object) -> tuple[Way, str, tuple[Layer, ...], Connector | None]:
    if via == "direct":
        return "direct", "direct", (), None
    if via == "refuse":
        return "refuse", "refuse", (), None
    if isinstance(via, (str, Uri)):
        return "proxy", masked_proxy(via), _proxy(via), None
    if isinstance(via, Sequence):
        items = cast("Sequence[object]", via)
        if items and all(map(_is_layer, items)):
            layers = tuple(cast("Sequence[Layer]", items))
            return "stack", " > ".join(map(repr, layers)), layers, None
        chain = cast("Sequence[str | Uri]", items)
        return "proxy", masked_proxy(chain), _proxy(chain), None
    if isinstance(via, type):
        raise TypeError(f"via: {via.__name__} is a class: pass an instance, {via.__name__}(...)")
    if isinstance(via, _HasLayers):
        return "stack", " > ".join(map(repr, via.layers)) or "no layer", tuple(via.layers), None
    if _is_layer(via):
        return "stack", repr(via), (cast(Layer, via),), None
    check_connector(via)
    return "stack", repr(via), (), cast(Connector, via)


def _is_layer(thing: object) -> bool:
    return not isinstance(thing, type) and callable(getattr(thing, "layer", None))


def _proxy(via: str | Uri | Sequence[str | Uri]) -> tuple[Layer, ...]:
    try:
        return proxy_layers(via)
    except (ValueError, TypeError) as error:
        raise type(error)(f"bad via: {error}; or direct, or refuse") from None

"""Obey the environment's proxy variables, on request: ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY`` and the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ziggurat.layers.layer import Layer
from ziggurat.layers.proxy import masked_proxy, proxy_layers
from ziggurat.layers.redaction import hide_arguments
from ziggurat.layers.route.decision import Decision
from ziggurat.layers.route.routed import Routed
from ziggurat.services.host import is_loopback
from ziggurat.services.proxy_variables import ProxyVariables
from ziggurat.services.service import Connector
from ziggurat.services.uri import Uri

__all__ = ["EnvironmentProxyLayer", "proxy_from_environment"]

NONE_SET = "no proxy variable is set"

ON_THIS_MACHINE = "the target is on this machine"


@dataclass(frozen=True, slots=True)
class EnvironmentProxyLayer:
    """Wraps a connector in one that obeys proxy variables; made by `proxy_from_environment`.

    Attributes:
        proxies: the variables that are set, each with its proxy, credentials masked.
        no_proxy: the list of targets that need no proxy, as it was given.
        ignored: variables that are set and not obeyed: ``HTTP_PROXY`` in a CGI program.
    """

    proxies: tuple[tuple[str, str], ...]
    no_proxy: str
    ignored: tuple[str, ...]
    _variables: ProxyVariables = field(repr=False, hash=False)
    _decisions: Mapping[tuple[str, str], Decision] = field(repr=False, compare=False)

    @property
    def no_proxy_ignored(self) -> tuple[str, ...]:
        """The items of ``no_proxy`` that make no sense, and fit nothing."""
        return self._variables.no_proxy.ignored

    def decide(self, uri: Uri, /) -> Decision:
        """Return where a dial to ``uri`` goes, and which variable says so.

        A target on this machine goes directly, and one in the list of exceptions. Where no proxy is set at all, so does
        everything. Where one is set, but none for this scheme, the dial is refused.
        """
        if not self.proxies:
            return self._decisions["direct", NONE_SET]
        if is_loopback(uri):
            return self._decisions["direct", ON_THIS_MACHINE]
        item = self._variables.no_proxy.match(uri)
        if item is not None:
            return self._decisions["no_proxy", item]
        name = self._variables.name_for(uri.scheme)
        if name is not None:
            return self._decisions["proxy", name]
        names = " and ".join(name for name, _ in self.proxies)
        reason = f"{names} {'is' if len(self.proxies) == 1 else 'are'} set, but no proxy for {uri.scheme} targets"
        hint = f"set GRPC_PROXY or ALL_PROXY, or add {uri.host} to NO_PROXY to dial it directly"
        return Decision("refuse", None, "refuse", reason=reason, hint=hint)

    def layers_for(self, target: Uri, /) -> tuple[Layer, ...]:
        """Return the layers that a dial of ``target`` takes; for `Place`."""
        return self.decide(target).layers

    def map_layers(self, change: Callable[[tuple[Layer, ...]], tuple[Layer, ...]]) -> EnvironmentProxyLayer:
        """Return the same, with ``change`` applied to the layers of each proxy: to give them credentials, say."""
        decisions = {key: replace(each, layers=change(each.layers)) for key, each in self._decisions.items()}
        return replace(self, _decisions=decisions)

    def layer(self, inner: Connector, /) -> Connector:
        return Routed(self, inner, self._decisions.values())


@hide_arguments
def proxy_from_environment(environ: Mapping[str, str] | None = None) -> EnvironmentProxyLayer:
    """Return a layer that obeys the proxy variables, as they are now.

    In this order: ``GRPC_PROXY``; ``HTTPS_PROXY`` or ``HTTP_PROXY``, by the target's scheme; ``ALL_PROXY``. Lower case
    comes first; an empty one counts as unset. Values are URLs as in `proxy_layers`; ``host:port`` means HTTP. In a CGI
    program (``REQUEST_METHOD`` is set) ``HTTP_PROXY`` in upper case is not obeyed.

    ``NO_GRPC_PROXY`` or else ``NO_PROXY`` lists the targets that are dialled directly, see `NoProxy`; those on this
    machine always are.

    Args:
        environ: the environment; ``None`` for the process's own.

    Raises:
        ValueError: a variable has no valid proxy; the message names it, and contains no credentials.
    """
    variables = ProxyVariables.read(environ)
    decisions = {("direct", rule): Decision("direct", rule, "direct") for rule in (NONE_SET, ON_THIS_MACHINE)}
    proxies = list[tuple[str, str]]()
    for name, (spelt, value) in variables.values.items():
        url = value.strip()
        if "://" not in url and url[:5].lower() != "unix:":
            url = f"http://{url}"
        try:
            layers = proxy_layers(url)
        except ValueError as error:
            raise ValueError(f"{spelt}: {error}") from None
        proxies.append((spelt, masked_proxy(url)))
        decisions["proxy", name] = Decision("proxy", spelt, masked_proxy(url), layers)
    for item in variables.no_proxy.items:
        decisions["no_proxy", item] = Decision("direct", f"{variables.no_proxy_name} ({item})", "direct")
    return EnvironmentProxyLayer(tuple(proxies), variables.no_proxy.text, variables.ignored, variables, decisions)

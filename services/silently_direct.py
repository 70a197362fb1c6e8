"""Say once that a dial goes past the proxy which the environment names.

Who sets ``HTTPS_PROXY`` for a program may well believe that it is obeyed. The leaves obey no variable: a stack says
what it does; but they do not go direct in silence either. The sign of a decision is one of these:

- the leaf is asked for another `Uri` than the dial's target: a layer above reaches a proxy, or chose another target;
- a layer above dials inside `direct_on_purpose`, as a route, the environment's layer and ``.direct()`` do.
"""

from __future__ import annotations

import logging
import os
from contextvars import ContextVar, Token
from types import TracebackType

from ziggurat.services.host import is_loopback
from ziggurat.services.proxy_variables import NAMES, ProxyVariables
from ziggurat.services.uri import Uri

__all__ = ["direct_on_purpose", "note_direct_dial"]

LOG = logging.getLogger("ziggurat.services")

VARIABLES = (*map(str.lower, NAMES), *NAMES)

_on_purpose: ContextVar[bool] = ContextVar("ziggurat_direct_on_purpose", default=False)


class direct_on_purpose:
    """Mark the dials in a ``with`` block as decided: one that goes direct is not worth a note."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token: Token[bool] = _on_purpose.set(True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _on_purpose.reset(self._token)


class _Note:
    """Whether this process has said it."""

    said = False


def note_direct_dial(uri: Uri) -> None:
    """Log a warning, once per process, if ``uri`` is about to be dialled directly without anybody having decided so.

    Nothing is said of a target on this machine, of one in ``NO_PROXY``, and while no proxy variable is set.
    """
    if _Note.said or _on_purpose.get() or uri.host.startswith("127."):  # the cheapest first: every dial comes by here
        return
    if not any(map(os.environ.get, VARIABLES)) or is_loopback(uri):
        return
    variables = ProxyVariables.read()
    if not variables.values or variables.no_proxy.match(uri) is not None:
        return
    counting = variables.name_for(uri.scheme) or next(iter(variables.values))
    _Note.said = True
    LOG.warning(
        "%s is set, but this stack dials %s directly: no layer of it obeys the variable. Add proxy_from_environment() "
        "to obey, .proxy(url) to choose, or .direct() to dial directly on purpose (said once)",
        variables.values[counting][0],
        uri,
    )

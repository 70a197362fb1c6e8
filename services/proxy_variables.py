"""The environment variables by which programs are told their proxy, and which of them counts for a target.

No standard exists. The order is grpc-core's where it has one (its own variable first), and curl's else (lower case
first, ``ALL_PROXY`` last).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ziggurat.services.no_proxy import NoProxy

__all__ = ["ProxyVariables"]

BY_SCHEME = {"https": "HTTPS_PROXY", "http": "HTTP_PROXY"}

NAMES = ("GRPC_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class ProxyVariables:
    """The proxy variables that are set. Empty ones count as unset, as in curl and Go.

    Attributes:
        values: name, as it is spelt in the environment, and value, by the name in upper case. Values may be secrets.
        no_proxy: the list of targets that need no proxy.
        no_proxy_name: the variable that it comes from; ``None`` without one.
        ignored: the variables that are set and not to be trusted: in a CGI program ``HTTP_PROXY`` is what the client's
            ``Proxy`` header says (CVE-2016-5385, "httpoxy").
    """

    values: Mapping[str, tuple[str, str]] = field(repr=False)
    no_proxy: NoProxy
    no_proxy_name: str | None = None
    ignored: tuple[str, ...] = ()

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> ProxyVariables:
        """Read the variables from ``environ``; ``None`` reads the process's own."""
        environ = os.environ if environ is None else environ
        ignored: tuple[str, ...] = ("HTTP_PROXY",) if "REQUEST_METHOD" in environ and environ.get("HTTP_PROXY") else ()
        if "request_method" in environ:  # Windows, where names have no case, so that this is the same variable
            ignored = tuple(each for name in ignored for each in (name, name.lower()))
        values = dict[str, tuple[str, str]]()
        for name in NAMES:
            for spelt in (name.lower(), name):
                if spelt not in ignored and (value := environ.get(spelt)):
                    values[name] = spelt, value
                    break
        for name in ("no_grpc_proxy", "NO_GRPC_PROXY", "no_proxy", "NO_PROXY"):
            if value := environ.get(name):
                return cls(values, NoProxy(value), name, ignored)
        return cls(values, NoProxy(), None, ignored)

    def name_for(self, scheme: str) -> str | None:
        """Return the name, in upper case, of the variable that counts for targets of ``scheme``; ``None`` if none."""
        wanted = ("GRPC_PROXY", BY_SCHEME.get(scheme), "ALL_PROXY")
        return next((name for name in wanted if name in self.values), None)

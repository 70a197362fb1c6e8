"""HTTP CONNECT: the layer, one exchange with the proxy (sans-I/O), authentication, and what a refusal means."""

from ziggurat.layers.http_connect.auth import BearerToken, HttpAuth, ProxyAuthenticator, ProxyConversation
from ziggurat.layers.http_connect.layer import HttpConnectLayer

__all__ = ["BearerToken", "HttpAuth", "HttpConnectLayer", "ProxyAuthenticator", "ProxyConversation"]

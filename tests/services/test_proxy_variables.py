from __future__ import annotations

import pytest

from ziggurat.services.proxy_variables import ProxyVariables


@pytest.mark.parametrize(
    ("environ", "scheme", "counting"),
    [
        ({"HTTPS_PROXY": "a"}, "https", ("HTTPS_PROXY", "a")),
        ({"HTTPS_PROXY": "a"}, "http", None),
        ({"HTTP_PROXY": "a"}, "http", ("HTTP_PROXY", "a")),
        ({"HTTP_PROXY": "a"}, "https", None),
        ({"ALL_PROXY": "a"}, "http", ("ALL_PROXY", "a")),
        ({"ALL_PROXY": "a"}, "tcp", ("ALL_PROXY", "a")),
        ({"HTTP_PROXY": "a", "HTTPS_PROXY": "b"}, "tcp", None),
        ({"ALL_PROXY": "a", "HTTPS_PROXY": "b"}, "https", ("HTTPS_PROXY", "b")),
        ({"GRPC_PROXY": "g", "HTTPS_PROXY": "b"}, "https", ("GRPC_PROXY", "g")),
        ({"grpc_proxy": "g", "ALL_PROXY": "b"}, "tcp", ("grpc_proxy", "g")),
        ({"https_proxy": "low", "HTTPS_PROXY": "UP"}, "https", ("https_proxy", "low")),
        # An empty one counts as unset: it neither switches the other off (as in Python's urllib) nor is a proxy.
        ({"https_proxy": "", "HTTPS_PROXY": "UP"}, "https", ("HTTPS_PROXY", "UP")),
        ({"https_proxy": "", "all_proxy": "a"}, "https", ("all_proxy", "a")),
        ({"GRPC_PROXY": "", "HTTPS_PROXY": "b"}, "https", ("HTTPS_PROXY", "b")),
        ({"Https_Proxy": "a"}, "https", None),
        ({"FTP_PROXY": "a", "SOCKS_PROXY": "b"}, "http", None),
        # CVE-2016-5385: in CGI, HTTP_PROXY is a header of the client's.
        ({"REQUEST_METHOD": "GET", "HTTP_PROXY": "evil"}, "http", None),
        ({"REQUEST_METHOD": "GET", "HTTP_PROXY": "evil", "ALL_PROXY": "a"}, "http", ("ALL_PROXY", "a")),
        ({"REQUEST_METHOD": "", "HTTP_PROXY": "evil"}, "http", None),
        ({"REQUEST_METHOD": "GET", "http_proxy": "a", "HTTP_PROXY": "evil"}, "http", ("http_proxy", "a")),
        ({"REQUEST_METHOD": "GET", "HTTPS_PROXY": "a"}, "https", ("HTTPS_PROXY", "a")),
    ],
)
def test_which_variable_counts(environ: dict[str, str], scheme: str, counting: tuple[str, str] | None) -> None:
    variables = ProxyVariables.read(environ)
    name = variables.name_for(scheme)

    assert (None if name is None else variables.values[name]) == counting


def test_a_variable_that_is_not_to_be_trusted_is_named() -> None:
    assert ProxyVariables.read({"REQUEST_METHOD": "GET", "HTTP_PROXY": "evil"}).ignored == ("HTTP_PROXY",)
    assert ProxyVariables.read({"REQUEST_METHOD": "GET"}).ignored == ()


def test_where_names_have_no_case_neither_spelling_is_trusted() -> None:
    class Caseless(dict[str, str]):
        """The environment of Windows."""

        def __contains__(self, name: object) -> bool:
            return super().__contains__(str(name).upper())

        def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
            return super().get(name.upper(), default)

    assert ProxyVariables.read(Caseless(REQUEST_METHOD="GET", HTTP_PROXY="evil")).name_for("http") is None
    assert ProxyVariables.read(Caseless(HTTP_PROXY="mine")).name_for("http") == "HTTP_PROXY"


@pytest.mark.parametrize(
    ("environ", "name", "text"),
    [
        ({}, None, ""),
        ({"NO_PROXY": "a"}, "NO_PROXY", "a"),
        ({"no_proxy": "b", "NO_PROXY": "a"}, "no_proxy", "b"),
        ({"NO_GRPC_PROXY": "g", "no_proxy": "b"}, "NO_GRPC_PROXY", "g"),
        ({"no_grpc_proxy": "", "no_proxy": "b"}, "no_proxy", "b"),
    ],
)
def test_which_list_of_exceptions_counts(environ: dict[str, str], name: str | None, text: str) -> None:
    variables = ProxyVariables.read(environ)

    assert (variables.no_proxy_name, variables.no_proxy.text) == (name, text)


def test_the_process_has_variables_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_PROXY", "http://proxy.example")

    assert ProxyVariables.read().name_for("tcp") == "GRPC_PROXY"


def test_values_are_not_shown() -> None:
    assert "secret" not in repr(ProxyVariables.read({"ALL_PROXY": "http://u:secret@proxy.example"}))

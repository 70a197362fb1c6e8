from __future__ import annotations

import pickle

from ziggurat.layers.all_failed import all_failed
from ziggurat.services import ConnectError, ConnectRefused, ProxyAuthError, ProxyRefused


def at(error: ConnectError, phase: str, via: str | None = None) -> ConnectError:
    error.phase, error.via = phase, via
    return error


def test_equal_reasons_are_counted() -> None:
    error = all_failed("3 attempts", [at(ConnectRefused("refused"), "tcp") for _ in range(3)])
    assert error.message == "3 attempts failed: refused (3 times)"
    assert error.phase == "tcp"


def test_reasons_of_different_places_say_where() -> None:
    errors = [at(ConnectRefused("refused"), "tcp", "a:1"), at(ProxyRefused("no"), "proxy.connect", "b:2")]
    error = all_failed("2 branches", errors)
    assert error.message == "2 branches failed: tcp via a:1: refused; proxy.connect via b:2: no"
    assert (error.phase, error.via) == ("proxy.connect", "b:2")


def test_an_error_without_a_place_has_none() -> None:
    error = all_failed("2 attempts", [ConnectError("odd"), at(ConnectError("no"), "tcp")])
    assert error.message == "2 attempts failed: odd; tcp: no"


def test_it_is_transient_if_one_of_them_is() -> None:
    assert all_failed("2", [ProxyAuthError("no"), ConnectRefused("no")]).transient
    assert not all_failed("1", [ProxyAuthError("no")]).transient


def test_it_stays_one_line_and_bounded() -> None:
    error = all_failed("99 attempts", [ConnectError(f"line {n}\nforged {'x' * 90}") for n in range(99)])
    assert "\n" not in str(error)
    assert len(error.message) <= 500


def test_it_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(all_failed("2 attempts", [ConnectError("a"), ConnectError("b")])))
    assert [str(each) for each in error.errors] == ["a", "b"]


def test_names_tell_branches_apart() -> None:
    error = all_failed("2 branches", [at(ConnectRefused("refused"), "tcp"), at(ConnectError("no"), "tls")], ["a", "b"])
    assert error.message == "2 branches failed: a: tcp: refused; b: tls: no"

"""The tree of errors, their one-line text, and copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import anyio
import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.services import errors
from ziggurat.services.dial import dial, phase
from ziggurat.services.errors import (
    MAX_MESSAGE,
    AllFailed,
    ChannelClosed,
    CircuitOpen,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    Http2Error,
    LimitExceeded,
    NoEndpoints,
    ProxyAuthError,
    ProxyError,
    ProxyProtocolError,
    ProxyRefused,
    ResolveError,
    RouteRefused,
    TlsError,
    copy_error,
    one_line,
)
from ziggurat.services.uri import Uri

TARGET = Uri("http", "target.example", 80)

MAKERS: list[Callable[[str], ConnectError]] = [
    lambda m: ConnectError(m, hint="look", transient=False),
    lambda m: ConnectTimeout(2.5, "TimeoutLayer", m),
    lambda m: ResolveError(m),
    lambda m: ConnectRefused(m, hint="nothing listens there"),
    lambda m: ProxyError(m, reply_code=0xF1, hint="look", transient=False),
    lambda m: ProxyProtocolError(m),
    lambda m: ProxyAuthError(m, reply_code=2),
    lambda m: ProxyRefused(m, reply_code=5),
    lambda m: TlsError(m),
    lambda m: Http2Error(m),
    lambda m: LimitExceeded(m),
    lambda m: ProxyRefused(m, status=503),
    lambda m: CircuitOpen(m, 1.5),
    lambda m: RouteRefused(m, "suffix .onion"),
    lambda m: NoEndpoints(m),
    lambda m: AllFailed(m, []),
]


async def failed(make: Callable[[str], ConnectError], message: str = "it broke") -> ConnectError:
    error = make(message)
    try:
        with dial(TARGET) as current, phase("my.step", via="proxy:1080"):
            current.ledger.sent_to_target = True
            raise error
    except ConnectError as caught:
        return caught


@pytest.mark.parametrize("make", MAKERS)
async def test_the_line_says_target_phase_via_time_and_what_happened(make: Callable[[str], ConnectError]) -> None:
    error = await failed(make)

    line = "http://target.example:80: my.step via proxy:1080 failed after 0.00 s: it broke"
    assert str(error) == (f"{line}; {error.hint}" if error.hint else line)


async def failed_in(phases: list[tuple[str, float]], *, before: float = 0.0) -> ConnectError:
    """Fail at the end of the last phase."""
    try:
        with dial(TARGET):
            await anyio.sleep(before)
            for name, seconds in phases:
                with phase(name):
                    await anyio.sleep(seconds)
                    if name == phases[-1][0]:
                        raise ConnectError("it broke", hint="mend it")
    except ConnectError as error:
        return error
    raise AssertionError("no phase")


@pytest.mark.parametrize(
    ("phases", "waterfall"),
    [
        ([("dns", 0.5), ("tcp", 1.0)], " (dns 0.50, tcp 1.00 s)"),
        ([("dns", 0.004), ("tcp", 1.0), ("proxy.greeting", 0.25), ("tls", 0.0)], " (tcp 1.00, proxy.greeting 0.25 s)"),
        ([("dns", 1.0), ("tcp", 0.0)], " (dns 1.00 s)"),
        ([("dns", 0.0), ("tcp", 0.004)], ""),
        ([("dns", 0.0), ("tcp", 2.0)], ""),
    ],
)
async def test_the_line_ends_with_the_phases_that_took_time_unless_the_failed_one_took_it_all(
    phases: list[tuple[str, float]], waterfall: str
) -> None:
    error = await failed_in(phases)

    total = sum(seconds for _, seconds in phases)
    line = f"http://target.example:80: {phases[-1][0]} failed after {total:.2f} s: it broke; mend it"
    assert str(error) == line + waterfall


async def test_time_outside_the_failed_phase_is_not_attributed_to_it() -> None:
    error = await failed_in([("tcp", 1.0)], before=3.0)

    assert str(error) == "http://target.example:80: tcp failed after 4.00 s: it broke; mend it (tcp 1.00 s)"


async def test_a_running_phase_is_left_out_of_the_line() -> None:
    with dial(TARGET), phase("outer"):
        with pytest.raises(ConnectError) as caught, dial(TARGET), phase("tcp"):
            raise ConnectError("it broke")
        assert "outer" not in str(caught.value)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
async def test_a_copy_is_a_new_object_with_every_field(
    make: Callable[[str], ConnectError], duplicate: Callable[[ConnectError], ConnectError]
) -> None:
    error = await failed(make)
    twin = duplicate(error)

    assert twin is not error
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert repr(twin) == repr(error)
    assert {**vars(twin), "ledger": None} == {**vars(error), "ledger": None}
    assert repr(twin.ledger) == repr(error.ledger)
    assert twin.__traceback__ is None


async def test_a_shallow_copy_shares_the_ledger() -> None:
    error = await failed(MAKERS[0])

    assert copy.copy(error).ledger is error.ledger


class OwnInit(ConnectError):
    """Its args are not the arguments of its ``__init__``."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Foreign(Exception):
    """The same, outside of our tree."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


@pytest.mark.parametrize(
    "error",
    [
        *(make("it broke") for make in MAKERS),
        OwnInit(code=4),
        Foreign(code=4),
        GRPCError(Status.INTERNAL, "x", ["detail"]),
        FileNotFoundError(2, "No such file", "/a"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_copy_error_keeps_type_args_attributes_and_cause_but_no_traceback(error: Exception) -> None:
    cause = OSError("y")
    with pytest.raises(type(error)):
        raise error from cause
    twin = copy_error(error)

    assert twin is not error
    assert type(twin) is type(error)
    assert twin.args == error.args
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
    assert twin.__cause__ is cause
    assert twin.__traceback__ is None
    assert error.__traceback__ is not None


@pytest.mark.parametrize("suppressed", [True, False])
def test_copy_error_keeps_a_suppressed_context_suppressed_and_no_other(suppressed: bool) -> None:
    error = ValueError("x")
    error.__suppress_context__ = suppressed

    assert copy_error(error).__suppress_context__ is suppressed


def test_a_note_on_a_copy_is_not_on_the_original() -> None:
    error = ValueError("x")
    error.add_note("all")
    twin = copy_error(error)
    twin.add_note("mine")

    assert (error.__notes__, twin.__notes__) == (["all"], ["all", "mine"])


def test_errors_have_the_builtin_parents_that_callers_expect() -> None:
    assert all(isinstance(make("x"), OSError) for make in MAKERS)
    assert isinstance(ConnectTimeout(1, "x"), TimeoutError)
    assert isinstance(ConnectRefused("x"), ConnectionRefusedError)
    assert isinstance(ChannelClosed("x"), RuntimeError)
    assert not issubclass(ChannelClosed, OSError)
    assert not isinstance(ResolveError("x"), (TimeoutError, ConnectionError))


def test_the_proxys_errors_are_proxy_errors() -> None:
    kinds = (ProxyProtocolError, ProxyAuthError, ProxyRefused)

    assert all(issubclass(kind, ProxyError) for kind in kinds)
    assert ProxyRefused("x", reply_code=0xF1).reply_code == 0xF1
    assert ProxyRefused("x").reply_code is None


def test_permanent_errors_are_not_transient() -> None:
    lasting = {type(make("x")) for make in MAKERS[2:] if not make("x").transient} - {ProxyError, AllFailed}

    assert lasting == {ProxyProtocolError, ProxyAuthError, TlsError, Http2Error, RouteRefused}
    assert TlsError("x", transient=True).transient
    assert ConnectError("x").transient
    assert not ConnectError("x", transient=False).transient


def test_a_timeout_says_whose_limit_it_was() -> None:
    error = ConnectTimeout(0.25, "reach proxy")

    assert (error.limit, error.name) == (0.25, "reach proxy")
    assert str(error) == "the limit 'reach proxy' of 0.25 s ran out"


def test_outside_a_dial_the_line_is_the_message_and_the_hint() -> None:
    error = ConnectError("it broke", hint="mend it")

    assert str(error) == "it broke; mend it"
    assert (error.phase, error.target, error.via, error.elapsed, error.ledger) == (None,) * 5
    assert error.sent_to_target is False


@given(st.text(), st.text())
def test_no_text_forges_a_second_line(message: str, hint: str) -> None:
    for make in MAKERS:
        line = str(make(message))
        assert line.isprintable()
        assert len(line) <= MAX_MESSAGE + 40
    assert str(ConnectError(message, hint=hint)).isprintable()


async def test_a_phases_name_or_a_sockets_path_forges_no_second_line() -> None:
    with pytest.raises(ConnectError) as caught, dial(Uri("unix", path="/a\nb")), phase("x\ny", via="v\r\x1b[31m"):
        raise ConnectError("m")

    assert str(caught.value).isprintable()


def test_folded_text_is_readable() -> None:
    assert one_line("a\r\n  b\tc\x1b[31m\u202e") == "a b c\\x1b[31m\\u202e"
    assert one_line("grüße 例え") == "grüße 例え"


def test_a_long_message_is_truncated_with_dots() -> None:
    assert one_line("x" * 10_000) == "x" * (MAX_MESSAGE - 3) + "..."
    assert one_line("\0" * 10_000).endswith("...")
    assert len(one_line("\0" * 10_000)) == MAX_MESSAGE
    assert one_line(" " * 10_000 + "x") == "x"


def test_the_list_at_the_top_of_the_module_is_the_tree() -> None:
    for name in errors.__all__:
        assert f" {name} " in (errors.__doc__ or "") + " "


@pytest.mark.parametrize("transient", [False, True])
def test_all_failed_is_transient_if_one_of_the_errors_is(transient: bool) -> None:
    errors = [TlsError("bad certificate"), ConnectRefused("refused", transient=transient)]

    failed = AllFailed("2 attempts failed", errors)

    assert failed.transient is transient
    assert failed.errors == tuple(errors)
    assert AllFailed("none", []).transient is False

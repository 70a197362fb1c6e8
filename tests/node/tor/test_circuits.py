from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ziggurat.node.tor.circuits import Circuit, Relay, parse_circuits

ONE, TWO, THREE = (f"{number:040X}" for number in range(1, 4))


def test_a_circuit_has_its_relays_in_order() -> None:
    status = (
        f"3 BUILT ${ONE}~guard,${TWO}=middle,${THREE} BUILD_FLAGS=NEED_CAPACITY PURPOSE=CONFLUX_LINKED "
        'TIME_CREATED=2026-11-29T22:51:40.831922 SOCKS_USERNAME="secret" SOCKS_PASSWORD="secret"\n'
        "4 LAUNCHED BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL\n"
        "5 LAUNCHED"
    )
    circuits = parse_circuits(status)

    assert circuits == {
        "3": Circuit("3", (Relay(ONE, "guard"), Relay(TWO, "middle"), Relay(THREE))),
        "4": Circuit("4", ()),
        "5": Circuit("5", ()),
    }
    assert "secret" not in repr(circuits)


def test_a_relay_is_shown_by_its_nickname_or_the_beginning_of_its_fingerprint() -> None:
    assert [str(Relay(ONE, "guard")), str(Relay("0123456789ABCDEF" * 2 + "01234567"))] == ["guard", "$01234567"]


def test_what_cannot_be_read_costs_its_line_only() -> None:
    status = f"\n\x00 BUILT\n3 BUILT $nonsense,${ONE}~bad\x1bname,${TWO}~good X\n4 BUILT ${ONE}~guard"

    assert parse_circuits(status) == {
        "3": Circuit("3", (Relay(TWO, "good"),)),
        "4": Circuit("4", (Relay(ONE, "guard"),)),
    }


@given(st.text())
def test_no_status_is_an_error(text: str) -> None:
    for circuit in parse_circuits(text).values():
        assert all(str(relay).isprintable() for relay in circuit.path)

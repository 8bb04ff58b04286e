"""Which calls may run on the polling thread."""

from toolkit.serving.paces import LONG_NS, SHORT_NS, Pace, Paces
from toolkit.wire.fast_predict import Kind

KIND: Kind = ("m", None, None, "", 10)


def known() -> Pace:
    """After a first call."""
    pace = Paces().of(KIND)
    pace.ran_pooled(LONG_NS * 9)
    while not pace.short:
        pace.ran_pooled(SHORT_NS)
    return pace


def test_the_first_call_of_a_kind_goes_to_the_pool() -> None:
    assert not Paces().of(KIND).short


def test_a_short_kind_stays_though_single_calls_are_slow() -> None:
    pace = known()
    for took_ns in (SHORT_NS // 2, SHORT_NS * 9, SHORT_NS * 9, SHORT_NS * 9, SHORT_NS // 2) * 5:
        pace.ran(took_ns)
        assert pace.short


def test_a_kind_that_is_always_slow_goes_to_the_pool() -> None:
    pace = known()
    for _ in range(4):
        assert pace.short
        pace.ran(SHORT_NS * 2)
    assert not pace.short


def test_one_call_that_is_long_beyond_doubt_is_enough() -> None:
    pace = known()
    pace.ran(LONG_NS + 1)
    assert not pace.short


def test_a_kind_is_tried_again_though_calls_side_by_side_looked_slow() -> None:
    pace = known()
    pace.ran(LONG_NS + 1)
    for _ in range(100):
        assert not pace.short
        pace.ran_pooled(SHORT_NS * 20)
    assert pace.short


def test_a_kind_that_is_long_on_the_pool_too_is_never_tried() -> None:
    pace = known()
    pace.ran(LONG_NS + 1)
    for _ in range(1000):
        pace.ran_pooled(LONG_NS * 2)
        assert not pace.short


def test_kinds_that_clients_make_up_are_forgotten() -> None:
    paces = Paces()
    for size in range(10_000):
        paces.of(("m", None, None, "", size)).ran_pooled(SHORT_NS)
    assert len(paces._paces) <= 4096

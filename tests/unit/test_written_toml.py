"""TOML as people may write it: what cannot be read is said, whatever reads it."""

import pytest

from pbxbill.billing.subscriptions.plan import plan_from_toml
from pbxbill.errors import InputRefused
from pbxbill.mediation.meter_tariffs import parse_meter_tariff
from pbxbill.money import Unit
from pbxbill.rating.calendar_text import calendar_from_toml
from pbxbill.written_toml import TOMLDecodeError, read_toml

EUR = Unit("EUR", 6, 2)
NOT_READABLE = {
    "arrays in arrays": ("a = " + "[" * 50_000 + "]" * 50_000, "deep in each other"),
    "tables in tables": ("a = " + "{a=" * 5_000 + "1" + "}" * 5_000, "deep in each other"),
    "a long dotted key": ("a." * 5_000 + "b = 1", "deep in each other"),
    "a number of 5000 digits": ("a = " + "9" * 5_000, "out of range"),
}


@pytest.mark.parametrize("text,reason", NOT_READABLE.values(), ids=NOT_READABLE)
def test_what_is_too_much_is_said_in_a_sentence(text: str, reason: str) -> None:
    with pytest.raises(TOMLDecodeError, match=reason):
        read_toml(text)
    for read in (
        lambda: plan_from_toml(text, {"EUR": EUR}),
        lambda: calendar_from_toml(text),
        lambda: parse_meter_tariff("water", text, EUR),
    ):
        with pytest.raises(InputRefused, match=reason):
            read()


def test_what_can_be_read_is_as_tomllib_reads_it() -> None:
    assert read_toml("a = [1, [2.5]]\n[b]\nc = 'x'\n", parse_float=str) == {
        "a": [1, ["2.5"]],
        "b": {"c": "x"},
    }

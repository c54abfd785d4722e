"""The form by which rates come in, and what the kinds of changes are called."""

from typing import Any

from flask_babel import gettext, lazy_gettext
from flask_wtf.file import FileField, FileRequired
from wtforms import BooleanField, SelectField

from pbxbill.listing.listing import N_
from pbxbill.rating.deck_change import Change, Finding
from pbxbill.store.decks import MEASURES
from pbxbill.web.fields import (
    CountField,
    LineField,
    MomentField,
    PanelForm,
    UnitField,
    ZoneField,
    at_most,
)
from pbxbill.web.words import word_of

COUNTED = (
    (Change.NEW, N_("New")),
    (Change.RAISED, N_("Dearer")),
    (Change.LOWERED, N_("Cheaper")),
    (Change.ENDED, N_("Withdrawn")),
    (Change.UNCHANGED, N_("Unchanged")),
)
SAMPLES = (
    (Change.NEW, N_("New prefixes")),
    (Change.RAISED, N_("Dearer prefixes")),
    (Change.LOWERED, N_("Cheaper prefixes")),
    (Change.ENDED, N_("Withdrawn prefixes")),
    (Finding.GAP, N_("Prefixes that had a rate and would have none")),
    (Finding.DEARER_BY_PREFIX, N_("Dearer than by the prefix that counted before")),
    (Finding.SHORT_NOTICE, N_("Dearer before the notice is over")),
    (Finding.DELAYED, N_("Increases that wait for the end of the notice")),
    (Finding.CARRIED, N_("Old prices that go on until the new row begins")),
    (Finding.FOLLOWED, N_("Prices that follow each other")),
    (Finding.RENAMED, N_("Renamed destinations")),
    (Finding.BELOW_COST, N_("Sold below cost")),
    (Finding.SUSPICIOUS, N_("Suspiciously high prices")),
    (Finding.SUSPICIOUS_DATE, N_("Dates more than five years away")),
)
COLUMN_NAMES = {
    "prefix": N_("Prefix"),
    "country_code": N_("Country code, beside area codes"),
    "codes": N_("Area codes"),
    "destination": N_("Destination"),
    "price_per_min": N_("Price per minute"),
    "price_per_second": N_("Price per second"),
    "connection_fee": N_("Connection fee"),
    "increments": N_("Increments, as in 60/60"),
    "initial_increment": N_("First increment in seconds"),
    "following_increment": N_("Following increments in seconds"),
    "effective_from": N_("Counts from"),
    "effective_to": N_("Counts until"),
    "currency": N_("Currency"),
}
"""What a column of a sheet may be, of what rating.sheet_profile knows."""
NAMED = {"column_prefix": "prefix", "column_destination": "destination", "column_price": "price_per_min"}
"""Fields of the form, and the columns that they name."""
_TOLD = ("", lazy_gettext("as the file shows"))


class ImportForm(PanelForm):
    """A sheet, the deck that it is for, and how it is written."""

    deck = SelectField(lazy_gettext("Deck"), validate_choice=True)
    new_deck = LineField(
        lazy_gettext("Name of the new deck"),
        [at_most(64)],
        description=lazy_gettext("Needed where no deck is chosen above."),
    )
    unit = UnitField(lazy_gettext("Unit of the new deck"))
    measure = SelectField(
        lazy_gettext("What its prices are for"),
        choices=lambda: [(x, word_of(x)) for x in MEASURES],
    )
    per = CountField(
        lazy_gettext("For how many of them"),
        least=1,
        most=10**12,
        description=lazy_gettext("Empty: prices are for a minute, or for one message, byte or item."),
    )
    file = FileField(
        lazy_gettext("Rate sheet"),
        [FileRequired(lazy_gettext("Choose a file."))],
        description=lazy_gettext(
            "CSV or XLSX with at least a prefix, a destination and a price. "
            "Columns are told from their names; where they cannot be, the next page asks for them."
        ),
    )
    effective = MomentField(
        lazy_gettext("Counts from"), description=lazy_gettext("Empty: as soon as you agree to the changes.")
    )
    backdate = BooleanField(lazy_gettext("A date that is past is meant"))
    amend = BooleanField(
        lazy_gettext("The sheet has some rates only: the deck's others stay"),
    )
    steep = LineField(lazy_gettext("Show what rises by more than, in percent"), [at_most(10)], default="20")
    max_price = LineField(lazy_gettext("Show prices per minute above"), [at_most(20)], default="100")
    against = SelectField(
        lazy_gettext("Compare with what it is sold at by"),
        default="",
        description=lazy_gettext("A deck of yours: prefixes sold below these prices are shown."),
    )
    notice_days = CountField(
        lazy_gettext("Days of notice for increases"),
        most=3650,
        description=lazy_gettext("What becomes dearer sooner is refused."),
    )
    delay_increases = BooleanField(lazy_gettext("Let increases begin when the notice is over instead"))
    delimiter = SelectField(
        lazy_gettext("Between cells"),
        choices=[_TOLD, (",", ","), (";", ";"), ("|", "|"), ("tab", lazy_gettext("tab"))],
        default="",
    )
    decimal = SelectField(lazy_gettext("Decimal mark"), choices=[_TOLD, (".", "."), (",", ",")], default="")
    price_per = SelectField(
        lazy_gettext("Prices are per"),
        choices=[_TOLD, ("minute", lazy_gettext("minute")), ("second", lazy_gettext("second"))],
        default="",
    )
    encoding = LineField(lazy_gettext("Encoding"), [at_most(40)])
    date_format = LineField(
        lazy_gettext("Format of dates"), [at_most(40)], description=lazy_gettext("For example %d.%m.%Y.")
    )
    zone = ZoneField(lazy_gettext("Zone of dates"), [at_most(64)], description=lazy_gettext("Empty: UTC."))
    column_prefix = LineField(lazy_gettext("Column with the prefix"), [at_most(64)])
    column_destination = LineField(lazy_gettext("Column with the destination"), [at_most(64)])
    column_price = LineField(
        lazy_gettext("Column with the price"),
        [at_most(64)],
        description=lazy_gettext("Names as in the sheet's heading. Empty: told from the names."),
    )
    increments = LineField(
        lazy_gettext("Increments of rows that do not say"),
        [at_most(20)],
        description=lazy_gettext("For example 60/60; empty: 1/1."),
    )


class ColumnsForm(PanelForm):
    """Which column of a sheet is what; choices are the names of its heading."""


for _name, _title in COLUMN_NAMES.items():
    setattr(ColumnsForm, _name, SelectField(lazy_gettext(_title), choices=[], default=""))


def columns_form(header: dict[str, Any], *, is_new: bool) -> ColumnsForm:
    """The form for a heading that was not understood; is_new: what could be told is chosen already."""
    form = ColumnsForm()
    for ours in COLUMN_NAMES:
        form[ours].choices = [("", gettext("told from its name")), *((x, x) for x in header["names"])]
        if is_new:
            form[ours].data = header["guessed"].get(ours, "")
    return form

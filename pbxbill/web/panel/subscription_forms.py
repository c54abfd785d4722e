"""Forms of subscriptions: begin, change, let rest, end, decide what a customer asks for."""

from typing import Any

from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, RadioField, SelectField, TextAreaField
from wtforms.validators import Length

from pbxbill.billing.subscriptions.plan_terms import MAX_QUANTITY, ChangeAt
from pbxbill.errors import InputRefused
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import CountField, LineField, MomentField, PanelForm, at_most, required

AT = "at"
"""A moment that is named."""
AS_PLANNED = ""


def _whens(first: tuple[tuple[str, Any], ...] = ()) -> list[tuple[str, Any]]:
    return [
        *first,
        (ChangeAt.NOW.value, lazy_gettext("at once")),
        (ChangeAt.CYCLE_END.value, lazy_gettext("when the present period is over")),
        (AT, lazy_gettext("at the moment below")),
    ]


def whens_of_new() -> list[tuple[str, Any]]:
    """Moments at which what is asked for can begin: it has no period yet that could be over."""
    return [x for x in _whens() if x[0] != ChangeAt.CYCLE_END.value]


class SubscribeForm(PanelForm):
    """What an account gets."""

    plan = SelectField(lazy_gettext("Plan"))
    quantity = CountField(lazy_gettext("Quantity"), [required()], least=1, most=MAX_QUANTITY, default=1)
    begins = MomentField(lazy_gettext("It begins"), description=lazy_gettext("Empty: now."))
    trial = BooleanField(lazy_gettext("With the plan's days of trial, if it has some"), default=True)
    prices = TextAreaField(
        lazy_gettext("Prices agreed with this account"),
        [Length(max=4000)],
        description=lazy_gettext("One in a line, as in Line = 9.90. Empty: as the plan says."),
        render_kw={"rows": "3"},
    )
    reason = LineField(lazy_gettext("Reason"), [at_most(200)])

    def agreed(self) -> dict[str, str]:
        """Prices by the names of the plan's charges."""
        found = {}
        for line in (self.prices.data or "").splitlines():
            name, sign, price = line.rpartition("=")
            if line.strip() and not sign:
                raise InputRefused(
                    gettext("write %(text)s as a name, = and a price", text=repr(line.strip()[:40]))
                )
            if name.strip():
                found[name.strip()] = price.strip()
        return found


class WhenForm(PanelForm):
    """When something happens, and why."""

    when = RadioField(lazy_gettext("When"), choices=_whens(), default=ChangeAt.NOW.value)
    at = MomentField(lazy_gettext("Moment"))
    reason = LineField(lazy_gettext("Reason"), [at_most(200)])

    def moment(self) -> tuple[ChangeAt | None, int | None]:
        """How it is meant: as a rule, or a moment."""
        if self.when.data != AT:
            return (ChangeAt(self.when.data) if self.when.data else None), None
        if self.at.data is None:
            raise InputRefused(gettext("say at which moment"))
        return None, self.at.data


class ChangeForm(WhenForm):
    """What a subscription is to be."""

    plan = SelectField(lazy_gettext("Plan"))
    quantity = CountField(lazy_gettext("Quantity"), [required()], least=1, most=MAX_QUANTITY)
    when = RadioField(
        lazy_gettext("When"),
        choices=_whens(((AS_PLANNED, lazy_gettext("as the plan says")),)),
        default=AS_PLANNED,
    )
    at = MomentField(lazy_gettext("Moment"))
    reason = LineField(lazy_gettext("Reason"), [at_most(200)])
    edition = EditionField()


class DecisionForm(WhenForm):
    """What becomes of a wish."""

    answer = RadioField(
        lazy_gettext("Your answer"),
        choices=[("yes", lazy_gettext("It is done")), ("no", lazy_gettext("It is refused"))],
        default="yes",
    )
    when = RadioField(
        lazy_gettext("When"),
        choices=_whens(((AS_PLANNED, lazy_gettext("as the plan says")),)),
        default=AS_PLANNED,
    )
    at = MomentField(lazy_gettext("Moment"))
    reason = LineField(
        lazy_gettext("Reason"),
        [at_most(200)],
        description=lazy_gettext("The customer reads it; a refusal needs one."),
    )

"""The forms of telephone numbers."""

from typing import Any

from flask_babel import lazy_gettext
from flask_wtf.file import FileField, FileRequired
from wtforms import RadioField, SelectField

from pbxbill.web.editions import EditionField
from pbxbill.web.fields import (
    AccountField,
    CountField,
    CountryField,
    LineField,
    PanelForm,
    at_most,
    required,
)


class NumberForm(PanelForm):
    """A number for the inventory."""

    number = LineField(
        lazy_gettext("Number"),
        [required(), at_most(32)],
        description=lazy_gettext("As the switch shows it when it is called."),
    )
    country = CountryField(lazy_gettext("Country"))


class NumberListForm(PanelForm):
    """Many numbers."""

    file = FileField(
        lazy_gettext("List of numbers"),
        [FileRequired(lazy_gettext("Choose a file."))],
        description=lazy_gettext("CSV with the column number, and perhaps country."),
    )


class AssignForm(PanelForm):
    """Who gets a number, and what it costs."""

    account = AccountField(lazy_gettext("Account"), [required()])
    plan = SelectField(
        lazy_gettext("Plan"),
        default="",
        description=lazy_gettext("What the number costs. Without one it is free."),
    )
    reason = LineField(lazy_gettext("Reason"), [at_most()], description=lazy_gettext("Kept in the history."))


class ReleaseForm(PanelForm):
    """When a number is taken back."""

    when = RadioField(
        lazy_gettext("When"),
        choices=[
            ("now", lazy_gettext("now")),
            ("cycle_end", lazy_gettext("when what is paid of its subscription is over")),
        ],
        default="now",
    )
    reason = LineField(lazy_gettext("Reason"), [at_most()])


class HandOverForm(PanelForm):
    """Whose inventory a number goes to."""

    to = SelectField(lazy_gettext("To the inventory of"))


class QuarantineForm(PanelForm):
    """How long a number rests."""

    days: Any = CountField(
        lazy_gettext("Days of quarantine"),
        [required()],
        least=0,
        most=3650,
        description=lazy_gettext("For so long nobody else gets a number that was given back."),
    )
    edition = EditionField()

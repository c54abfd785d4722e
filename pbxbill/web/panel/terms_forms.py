"""What forms of terms share: amounts by unit, words for choices, a page for text and one for fields.

A form makes the facts that the TOML of such a policy has, and shows those that are read from it. So what is
kept, what the command line reads and what a form says are the same terms, checked by the same code.
"""

from collections.abc import Mapping
from typing import Any

from flask import render_template, request
from flask_babel import gettext, lazy_gettext
from wtforms import Form, SelectField

from pbxbill.errors import TermRefused
from pbxbill.money import Unit
from pbxbill.web.fields import NumberField, PanelForm, required
from pbxbill.web.panel.asking import Crumb
from pbxbill.web.rows import RowsField
from pbxbill.web.words import word_of
from pbxbill.written_toml import read_toml

MOST_UNITS = 40


class AmountRow(Form):
    """An amount in one unit."""

    unit = SelectField(lazy_gettext("Unit"))
    amount = NumberField(lazy_gettext("Amount"), [required()])


def amounts_field(label: Any, description: Any) -> RowsField:
    """Amounts by their units."""
    return RowsField(
        AmountRow,
        label,
        description=description,
        item=lazy_gettext("Amount"),
        add=lazy_gettext("Add an amount"),
        most=MOST_UNITS,
        by="unit",
        inline=True,
    )


def amounts_of(field: RowsField) -> dict[str, str]:
    """The rows as the TOML has them; a unit stands once."""
    found: dict[str, str] = {}
    for row in field.rows:
        if row.unit.data in found:
            raise TermRefused(
                gettext("%(unit)s stands twice.", unit=row.unit.data), field.name, row.unit.data
            )
        found[row.unit.data] = row.amount.data
    return found


def fill_amounts(field: RowsField, amounts: Mapping[str, str]) -> None:
    """Show amounts that the TOML has."""
    for unit, amount in amounts.items():
        field.append_entry({"unit": unit, "amount": amount})


def unit_choices(units: Mapping[str, Unit]) -> list[tuple[str, str]]:
    """All units."""
    return [(x, x) for x in sorted(units)]


def facts_in(text: str) -> dict[str, Any]:
    """What stands in TOML that we wrote ourselves."""
    return read_toml(text, parse_float=str)


def named(values: Any) -> list[tuple[str, str]]:
    """Choices with the words that people have for them."""
    return [(str(x), word_of(str(x))) for x in values]


def wants_preview() -> bool:
    """Whether the button was clicked that shows what terms would do."""
    return request.method == "POST" and "preview" in request.form


def terms_page(
    template: str,
    form: PanelForm,
    title: str,
    back: str,
    crumbs: list[Crumb],
    **more: Any,
) -> str:
    """A form of terms, or the page on which they are text: more has `tabs`, of `tabs_of_terms()`."""
    return render_template(
        template, form=form, title=title, button=gettext("Save"), back=back, crumbs=crumbs, **more
    )


def tabs_of_terms(fields: str, text: str, *, as_text: bool) -> dict[str, Any]:
    """The two ways to write terms, by their addresses."""
    return {
        "tabs": [("form", gettext("Form"), fields), ("text", gettext("As text"), text)],
        "tab": "text" if as_text else "form",
    }

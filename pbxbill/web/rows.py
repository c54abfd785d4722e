"""Rows of a form: parts that repeat, added and removed by buttons.

    level = RowsField(LevelRow, lazy_gettext("Levels"), item=lazy_gettext("Level"), most=20)

A template shows it like any other field. Its buttons send the whole form, which is shown again with a row
more or less and all that was entered; panel.js does the same without sending it. In the view:

    if not rows_changed(form) and form.validate_on_submit():
"""

from collections.abc import Iterable, Iterator
from typing import Any

from flask import request
from flask_babel import gettext, lazy_gettext
from wtforms import Field, FieldList, Form, FormField

BUTTON = "rows"
"""Name of the buttons; their value says what is to be done: `add level`, `remove level-2`."""
_LONGEST_NUMBER = 6


class RowsField(FieldList):  # type: ignore[type-arg]  # it is no generic when it runs
    """A part of a form that repeats; each row is a small form."""

    def __init__(self, row: type[Form], label: Any = None, **more: Any) -> None:
        """item: what one row is called; add: what the button says that adds one; most, least: so many rows.

        by: the field that says whether a row is filled in, and by which a refusal names it; without it each
        row counts. inline: a row is one line.
        """
        self.item: Any = more.pop("item")
        self.add: Any = more.pop("add", None) or lazy_gettext("Add a row")
        self.most: int = more.pop("most")
        self.by: str = more.pop("by", "")
        self.inline: bool = more.pop("inline", False)
        self.refused: list[str] = []
        self._offered: dict[str, Any] = {}
        super().__init__(FormField(row), label, min_entries=more.pop("least", 0), **more)

    def offer(self, **choices: Any) -> None:
        """Give the choices of fields that all rows have."""
        self._offered = choices
        for entry in self.entries:
            self._give(entry)

    @property
    def rows(self) -> list[Any]:
        """The rows that count, as forms."""
        found: Iterable[Any] = (x.form for x in self.entries)
        return [x for x in found if not self.by or x[self.by].data not in (None, "")]

    @property
    def next_number(self) -> int:
        """Of the row that is added next, in the names of its fields."""
        return self.last_index + 1

    @property
    def placeholder(self) -> str:
        """Stands in the blank row for its number; each depth has its own."""
        return f"__row{self.name.count('__row')}__"

    def blank(self) -> Any:
        """A row as the page copies it."""
        last = self.last_index
        entry = self._add_entry(index=self.placeholder)
        self.entries.remove(entry)
        self.last_index = last
        return entry

    def faults(self) -> list[tuple[str, str, str]]:
        """What is wrong in it: the id of a field, what it is called with its row, and why."""
        found = [(str(self.id), str(self.label.text), x) for x in self.refused]
        for number, entry in enumerate(self.entries, 1):
            for field in entry.form:
                where = f"{self.item} {number}"
                if isinstance(field, RowsField):
                    found += [(id, f"{where}, {name}", why) for id, name, why in field.faults()]
                elif field.errors:
                    found.append((str(field.id), f"{where}, {field.label.text}", str(field.errors[0])))
        return found

    def _give(self, entry: Any) -> None:
        for name, choices in self._offered.items():
            entry.form[name].choices = choices

    def _add_entry(self, formdata: Any = None, data: Any = None, index: Any = None) -> Any:
        more = {} if data is None else {"data": data}
        entry = super()._add_entry(formdata, index=index, **more)  # type: ignore[misc]  # types lack it
        self._give(entry)
        return entry

    def _extract_indices(self, prefix: str, formdata: Iterable[str]) -> Iterator[int]:
        begin = f"{prefix}-"
        numbers = {x[len(begin) :].partition("-")[0] for x in formdata if x.startswith(begin)}
        # What another made up is no number: ², or one that is too long.
        known = {int(x) for x in numbers if x.isascii() and x.isdigit() and len(x) <= _LONGEST_NUMBER}
        yield from sorted(known)[: self.most]


def rows_changed(form: Any) -> bool:
    """Whether a button of rows sent the form: then its rows are as asked for, and nothing else is done."""
    asked = request.form.get(BUTTON, "") if request.method == "POST" else ""
    if not asked:
        return False
    do, _, name = asked.partition(" ")
    for field in _all_rows(form):
        if do == "add" and field.name == name and len(field.entries) < field.most:
            field.append_entry()
        elif do == "add" and field.name == name:
            field.refused.append(gettext("There are no more than %(most)d of them.", most=field.most))
        elif do == "remove":
            field.entries = [x for x in field.entries if x.name != name]
    return True


def _all_rows(form: Any) -> list[RowsField]:
    found = []
    for field in form:
        if isinstance(field, RowsField):
            found.append(field)
            for entry in field.entries:
                found += _all_rows(entry.form)
    return found


def refuse(form: Any, place: tuple[str | int, ...], message: str) -> bool:
    """Say a refusal of a term at its field, or at the nearest one; False: the form has no such field.

    A form's `places` says where terms stand in it that its fields do not have the names of.
    """
    field = _at(form, place)
    if field is None:
        return False
    if isinstance(field, RowsField):
        field.refused.append(message)
    else:
        field.errors = [*field.errors, message]
    return True


def _at(form: Any, place: tuple[str | int, ...]) -> Field | None:
    for length in range(len(place), 0, -1):
        known = getattr(form, "places", {}).get(place[:length])
        if known is not None:
            place = (*known, *place[length:])
            break
    if not place or place[0] not in form:
        return None
    field: Field = form[place[0]]
    if isinstance(field, RowsField) and len(place) > 1:
        row = _row(field, place[1])
        if row is not None:
            return _at(row, place[2:]) or _first(row, field.by)
    return field


def _row(field: RowsField, named: str | int) -> Any:
    if isinstance(named, int):
        return field.rows[named - 1] if 0 < named <= len(field.rows) else None
    # The last one of a name: an earlier one of the same name was in order.
    return next((x for x in reversed(field.rows) if field.by and x[field.by].data == named), None)


def _first(row: Any, by: str) -> Field:
    """The field of a row that is shown as wrong where none is named: not that by which it is known."""
    names = [x for x in row._fields if x != by] or [by]
    found: Field = row[names[0]]
    return found

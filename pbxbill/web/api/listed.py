"""Lists as the API pages them: query parameters from a Listing's filters, items from its columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from flask import Response, request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    create_model,
)
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    AMOUNT_FORM,
    MAX_CURSOR_LENGTH,
    MAX_FILTER_LENGTH,
    MAX_PAGE_SIZE,
    PAGE_SIZE,
    Asked,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Rows,
    every,
    page_of,
)
from pbxbill.money import Unit, format_amount
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Api, File
from pbxbill.web.api.fields import Id, Moment, Money, Sent, moment_or_none, optional, shown_money
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

ZONE = "UTC"
"""What a day is, in the API."""
PAGING = ("size", "order", "after", "before")


def _day(text: str) -> str:
    if len(text) != 10:
        raise ValueError("write a day as 2026-01-31")
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError("write a day as 2026-01-31") from None
    return text


Day = Annotated[str, AfterValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Digits = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]


@dataclass(frozen=True, slots=True)
class ListedAs:
    """The types of one list."""

    listing: Listing
    query: type[BaseModel]
    item: type[BaseModel]
    page: type[BaseModel]

    def one(self, session: Session, scope: Scope, id: Any) -> BaseModel | None:
        """The item of an id, if the scope has it."""
        return next(iter(self._found(session, scope, [id])), None)

    def shown(self, session: Session, scope: Scope, id: Any) -> BaseModel:
        """The same; 404 where there is none."""
        session.flush()
        session.expire_all()
        item = self.one(session, scope, id)
        if item is None:
            raise Refused(404)
        return item

    def of_ids(self, session: Session, scope: Scope, ids: Sequence[Any]) -> list[BaseModel]:
        """Items of ids, in their order; without those that the scope does not have."""
        session.flush()
        session.expire_all()
        return self._found(session, scope, ids)

    def _found(self, session: Session, scope: Scope, ids: Sequence[Any]) -> list[BaseModel]:
        listing = self.listing
        found = session.execute(listing.rows(session, scope).where(listing.orders[0].id.in_(ids)))
        rows = sorted((dict(x) for x in found.mappings()), key=lambda x: ids.index(x["id"]))
        listing.finish(session, rows)
        return [self.item.model_validate(x) for x in self.items(rows, units_by_code(session))]

    def items(self, rows: list[dict[str, Any]], units: Mapping[str, Unit]) -> list[dict[str, Any]]:
        """Rows as they are answered."""
        return [
            {"id": row["id"]}
            | {name_of(x): value_of(x, row, units) for x in self.listing.columns if x.key != "id"}
            for row in rows
        ]


def listed_as(listing: Listing, id_type: type | None = None) -> ListedAs:
    """The types of a list, from its columns and filters. id_type: where no order has the rows' ids."""
    id = id_type or listing.orders[0].id.type.python_type
    item, page = _item_types(listing.name, id, listing.columns)
    return ListedAs(listing, _query_type(*_asked_by(listing)), item, page)


Asking = tuple[str, tuple[Filter, ...], tuple[str, ...]]


def _asked_by(listing: Listing) -> Asking:
    """What a query is made of: name, filters and orders. How a filter narrows is nothing to its type."""
    filters = tuple(replace(x, narrow=_whatever) for x in listing.filters)
    return listing.name, filters, tuple(x.key for x in listing.orders)


def _whatever(query: Rows, _value: Any) -> Rows:
    return query


# Applications of one process share the types: making them takes longer than all else of an application.


@cache
def _query_type(name: str, filters: tuple[Filter, ...], orders: tuple[str, ...]) -> type[BaseModel]:
    paging: dict[str, Any] = {
        "size": (
            Annotated[
                int,
                Field(ge=1, le=MAX_PAGE_SIZE, description="Items of a page."),
            ],
            PAGE_SIZE,
        ),
        "order": _ordered(orders),
        "after": optional(_cursor(), "The page after: follow `next` instead."),
        "before": optional(_cursor(), "The page before: follow `previous` instead."),
    }
    return create_model(f"{_titled(name)}Query", __base__=Sent, **_filtered(filters), **paging)


@cache
def _query_of_file(name: str, filters: tuple[Filter, ...], orders: tuple[str, ...]) -> type[BaseModel]:
    asked = _filtered(filters) | {"order": _ordered(orders)}
    return create_model(f"{_titled(name)}QueryFile", __base__=Sent, **asked)


def _filtered(filters: tuple[Filter, ...]) -> dict[str, Any]:
    return {x.key: optional(_filter_type(x), x.label) for x in filters}


def _ordered(orders: tuple[str, ...]) -> tuple[Any, Any]:
    return optional(Literal[orders], f"By what: {orders[0]}, unless said.")


def _titled(name: str) -> str:
    return name.title().replace("-", "").replace("_", "")


@cache
def _item_types(name: str, id: type, columns: tuple[Column, ...]) -> tuple[type[BaseModel], type[BaseModel]]:
    """An item, and a page of them."""
    title = _titled(name)
    shown: dict[str, Any] = {name_of(x): (_type(x) | None, ...) for x in columns if x.key != "id"}
    item = create_model(f"{title}Item", __config__=ConfigDict(), id=(id, ...), **shown)
    page: type[BaseModel] = create_model(
        f"{title}Page",
        items=(list[item], ...),  # type: ignore[valid-type]
        next=(str | None, Field(description="The address of the next page; null: there is none.")),
        previous=(str | None, Field(description="The address of the page before.")),
    )
    return item, page


def filters_of(listing: Listing, name: str) -> type[BaseModel]:
    """A list's filters as an object of a body: all that they leave is meant."""
    filters: dict[str, Any] = {x.key: optional(_filter_type(x), x.label) for x in listing.filters}
    return create_model(name, __base__=Sent, **filters)


def asked_by(filters: BaseModel) -> Asked:
    """What such an object asks for."""
    return _asked(filters)


def declare_list(  # noqa: PLR0913 # what a list is declared by
    api: Api,
    rule: str,
    listing: Listing,
    tag: str,
    *,
    permission: Permission | None = None,
    scope: Callable[[], Scope] | None = None,
    name: str = "",
    id_type: type | None = None,
) -> ListedAs:
    """GET of a list. permission, scope: other than the list's own, and that of who asks."""
    types = listed_as(listing, id_type)

    def page(query: BaseModel) -> dict[str, Any]:
        asked = _asked(query)
        seen = api.front.scope if scope is None else scope()
        with api.front.reading() as session:
            found = page_of(session, listing, seen, asked)
            units = units_by_code(session)
        return {
            "items": types.items(found.rows, units),
            "next": _address(after=found.after),
            "previous": _address(before=found.before),
        }

    page.__name__ = name or f"list_{listing.name.replace('-', '_')}"
    page.__doc__ = f"{listing.title}, page by page.\n\nDays are days in UTC."
    page.__annotations__["query"] = types.query
    api.get(rule, types.page, tag)(needs(permission or listing.permission)(page))
    return types


def declare_item(  # noqa: PLR0913  # what an item is declared by
    api: Api, rule: str, types: ListedAs, tag: str, name: str, about: str, *, moving: Iterable[str] = ()
) -> None:
    """GET of one item of a list, by its id: the rule's last part. moving: as of Api.get()."""
    parameter = rule.rpartition(":")[2].rstrip(">")
    named: dict[str, Any] = {parameter: (Id, ...)}
    path_model = create_model(f"{types.item.__name__}Path", __base__=Sent, **named)

    def get(path: BaseModel) -> BaseModel:
        with api.front.reading() as session:
            return types.shown(session, api.front.scope, getattr(path, parameter))

    get.__name__ = name
    get.__doc__ = about
    get.__annotations__["path"] = path_model
    api.get(rule, types.item, tag, moving=moving)(needs(types.listing.permission)(get))


def declare_file(
    api: Api, rule: str, listing: Listing, tag: str, *, permission: Permission | None = None
) -> None:
    """GET of all that a list's filters leave, as CSV, written as it is read."""
    query = _query_of_file(*_asked_by(listing))

    def export(query: BaseModel) -> Response:
        asked, seen, front = _asked(query), api.front.scope, api.front
        with front.reading() as session:  # what cannot be read is refused, before a line is sent
            page_of(session, listing, seen, asked)

        def lines() -> Iterator[str]:
            with front.reading() as session:
                yield from csv_lines(session, listing, seen, asked)

        answer = Response(lines(), mimetype="text/csv")
        answer.headers["Content-Disposition"] = f'attachment; filename="{listing.name}.csv"'
        return answer

    export.__name__ = f"export_{listing.name.replace('-', '_')}"
    export.__doc__ = (
        f"{listing.title} as CSV, for accounting.\n\nAll that the filters leave, up to a million rows, as "
        "they are read: a file whose last line is not `# end` was cut off. Amounts are followed by "
        "their currency."
    )
    export.__annotations__["query"] = query
    told = File("text/csv", "UTF-8, with a heading, RFC 4180.")
    api.get(rule, told, tag)(needs(permission or listing.permission)(export))


def csv_lines(session: Session, listing: Listing, scope: Scope, asked: Asked) -> Iterator[str]:
    """A list's lines; the last says that it is whole."""
    units = units_by_code(session)
    heading = ["id"]
    columns = [x for x in listing.columns if x.key != "id"]
    for column in columns:
        heading += [name_of(column), f"{name_of(column)}_currency"][: 1 + (column.kind is ColumnKind.MONEY)]
    yield _line(heading)
    for row in every(session, listing, scope, asked):
        cells: list[Any] = [row["id"]]
        for column in columns:
            value = row.get(column.key)
            if column.kind is ColumnKind.MONEY:
                code = row.get(column.unit)
                unit = None if value is None or code is None else units.get(code)
                cells += ["", ""] if unit is None else [format_amount(value or 0, unit), unit.code]
            elif column.kind in (ColumnKind.MOMENT, ColumnKind.DAY):
                cells.append(moment_or_none(value))
            else:
                cells.append(value)
        yield _line(cells)
    yield "# end\r\n"


def _line(cells: list[Any]) -> str:
    return ",".join(_cell(x) for x in cells) + "\r\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = str(value)
    # A spreadsheet would take it for a formula; numbers are numbers, also below zero.
    if isinstance(value, str) and text.startswith(tuple("=+-@\t\r")) and not _is_number(text):
        text = f"'{text}"
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(x in text for x in ',"\r\n') else text


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdigit()


def _asked(query: BaseModel) -> Asked:
    sent = {name: value for name, value in query.model_dump().items() if value is not None}
    paging = {name: sent.pop(name) for name in PAGING if name in sent}
    return Asked({x: str(y) for x, y in sent.items()}, zone=ZONE, **paging)


def _address(**cursor: str) -> str | None:
    if not any(cursor.values()):
        return None
    kept = {name: value for name, value in request.args.items() if name not in ("after", "before")}
    return f"{request.script_root}{request.path}?{urlencode(kept | cursor)}"


def _filter_type(known: Filter) -> Any:
    match known.kind:
        case FilterKind.CHOICE:
            return Literal[tuple(value for value, _ in known.choices)]
        case FilterKind.DAY:
            return Day
        case FilterKind.NUMBER:
            return Digits
        case FilterKind.AMOUNT:
            return Annotated[str, StringConstraints(pattern=f"^{AMOUNT_FORM}$")]
        case _:
            return Annotated[str, StringConstraints(max_length=MAX_FILTER_LENGTH)]


def _cursor() -> Any:
    return Annotated[str, StringConstraints(max_length=MAX_CURSOR_LENGTH)]


def name_of(column: Column) -> str:
    """The key of a column's value in an item."""
    return column.key.removesuffix("_us")


def _type(column: Column) -> Any:
    match column.kind:
        case ColumnKind.MONEY:
            return Money
        case ColumnKind.COUNT | ColumnKind.SECONDS | ColumnKind.PPM:
            return int
        case ColumnKind.MOMENT | ColumnKind.DAY:
            return Moment
        case ColumnKind.YES_NO:
            return bool
        case _:
            return str


def value_of(column: Column, row: Mapping[str, Any], units: Mapping[str, Unit]) -> Any:
    """A value of a row, as it is answered."""
    value = row.get(column.key)
    match column.kind:
        case ColumnKind.MONEY:
            return shown_money(value, row.get(column.unit), units)
        case ColumnKind.MOMENT | ColumnKind.DAY:
            return moment_or_none(value)
        case ColumnKind.YES_NO:
            return None if value is None else bool(value)
        case ColumnKind.COUNT | ColumnKind.SECONDS | ColumnKind.PPM:
            return value
        case _:
            return None if value is None else str(value)

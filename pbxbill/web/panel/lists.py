"""Shows a Listing: as a page with filters, as a CSV or XLSX file, with views that a user keeps.

A section adds its list in one line, and gets the routes PATH, PATH.csv, PATH.xlsx, PATH/views:

    add_list(section, front, ListPage(ACCOUNTS, "/accounts", link="accounts.show"))

What a page needs beside it (a button, other columns) stands in its template, which extends panel/list.html.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.actor import Scope
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import Asked, Filter, FilterKind, FilterRefused, Listing, Page, page_of
from pbxbill.web.fields import sentence
from pbxbill.web.formatting import reader_zone
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.kept_views import forget_view, keep_view, views_of
from pbxbill.web.panel.list_files import csv_file, xlsx_file
from pbxbill.web.words import KINDS, STATES, word_of

SIZES = (25, 50, 100, 200)
Link = str | Callable[[Mapping[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class ListPage:
    """A list as a section shows it."""

    listing: Listing
    path: str
    """Below the panel: /accounts."""
    link: Link = ""
    """Where a row's first column leads: an endpoint that takes `id`, or a function of the row."""
    endpoint: str = "listed"
    template: str = "panel/list.html"
    empty: tuple[str, str] = ("", "")
    """What to say where there is nothing at all, and what to do then."""
    more: Callable[[], dict[str, Any]] = dict
    """What its template gets besides."""
    actions: tuple[tuple[str, str, str], ...] = ()
    """Links beside the heading, the first one prominent: text, endpoint, permission."""
    given: Callable[[], Mapping[str, str]] = field(default=dict)
    """Filters that the address's path says, which nobody can change: {"account_id": "17"}."""
    columns: tuple[str, ...] = ()
    """Keys of the columns that the page has room for; empty: all. Files have all of them."""
    sparse: tuple[str, ...] = ()
    """Keys of columns that a page leaves out where none of its rows has a value."""
    of_others: Mapping[str, str] = field(default_factory=lambda: {"issuer": "issuer_id"})
    """Keys of columns that say whose a row is, and of his id: left out where all is the reader's."""


def add_list(section: Blueprint, front: Front, shown: ListPage) -> None:
    """Give a section the routes of a list. Path parameters are read by `given` from request.view_args."""
    listing, name = shown.listing, shown.endpoint

    @needs(listing.permission)
    def page(**_path: Any) -> str | tuple[str, int]:
        return list_page(section, front, shown)

    @needs(listing.permission)
    def csv(**_path: Any) -> Response:
        return csv_file(front, listing, asked_of(listing, shown.given()))

    @needs(listing.permission)
    def xlsx(**_path: Any) -> Response:
        return xlsx_file(front, listing, asked_of(listing, shown.given()))

    @needs(listing.permission)
    def keep(**path: Any) -> AnyResponse:
        query = _query_of(listing, request.form)
        try:
            with front.changing("view.keep", listing.name) as change:
                page_name = f"list:{listing.name}"
                keep_view(change.session, front, page_name, request.form.get("name", ""), query)
            flash(gettext("The view is kept."))
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        return redirect(url_for(f".{name}", **path) + (f"?{query}" if query else ""))

    @needs(listing.permission)
    def forget(view_id: int, **path: Any) -> AnyResponse:
        with front.changing("view.forget", listing.name) as change:
            forget_view(change.session, front, view_id)
        flash(gettext("The view is forgotten."))
        return redirect(url_for(f".{name}", **path))

    section.add_url_rule(shown.path, name, page)
    section.add_url_rule(f"{shown.path}.csv", f"{name}_csv", csv)
    section.add_url_rule(f"{shown.path}.xlsx", f"{name}_xlsx", xlsx)
    section.add_url_rule(f"{shown.path}/views", f"{name}_keep", keep, methods=["POST"])
    section.add_url_rule(
        f"{shown.path}/views/<int:view_id>/forget", f"{name}_forget", forget, methods=["POST"]
    )


def list_page(section: Blueprint, front: Front, shown: ListPage, **more: Any) -> str | tuple[str, int]:
    """A list as its page; more: what its template gets besides, as the form that a view refuses."""
    listing, given = shown.listing, shown.given()
    asked = asked_of(listing, given)
    refused: FilterRefused | None = None
    found = Page([], "", "")
    with front.reading() as session:
        try:
            found = page_of(session, listing, front.scope, asked)
        except FilterRefused as error:
            refused = error
        views = views_of(session, front, f"list:{listing.name}")
    body = render_template(
        shown.template,
        shown=shown,
        listing=_on_page(shown, found, front.scope),
        asked=asked,
        page=found,
        refused=refused,
        views=views,
        chips=_chips(listing, asked, given),
        set_keys={key for key, value in asked.filters.items() if value.strip()},
        link=_linker(shown.link),
        address=_addresses(section.name, shown.endpoint, listing),
        sizes=SIZES,
        choice_text=choice_text,
        **(shown.more() | more),
    )
    return body if refused is None else (body, 400)


def _on_page(shown: ListPage, found: Page, scope: Scope) -> Listing:
    empty = {x for x in shown.sparse if not any(row[x] for row in found.rows)}
    for key, id_key in shown.of_others.items():
        if all(id_key in row and row[id_key] == scope.account_id for row in found.rows):
            empty.add(key)
    columns = (x for x in shown.listing.columns if not shown.columns or x.key in shown.columns)
    return replace(shown.listing, columns=tuple(x for x in columns if x.key not in empty))


def asked_of(listing: Listing, given: Mapping[str, str]) -> Asked:
    """What the address asks of a list."""
    filters = {x.key: request.args.get(x.key, "") for x in listing.filters} | dict(given)
    size = request.args.get("size", "")
    return Asked(
        filters,
        request.args.get("order", ""),
        request.args.get("after", ""),
        request.args.get("before", ""),
        int(size) if size in {str(x) for x in SIZES} else 50,
        str(reader_zone()),
    )


def _query_of(listing: Listing, values: Mapping[str, str]) -> str:
    """The filters and the order of a form or an address, as in an address."""
    keys = [*(x.key for x in listing.filters), "order", "size"]
    return urlencode([(key, values[key]) for key in keys if values.get(key)])


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is set, and where the list is without it."""

    text: str
    without: str


def _chips(listing: Listing, asked: Asked, given: Mapping[str, str]) -> list[Chip]:
    chips = []
    for known in listing.filters:
        value = asked.filters.get(known.key, "").strip()
        if value and known.key not in given:
            shown = choice_text(known, value) if known.kind is FilterKind.CHOICE else value
            chips.append(Chip(f"{gettext(known.label)}: {shown}", _address({known.key: None})))
    return chips


def choice_text(known: Filter, value: str) -> str:
    """What a choice is called."""
    if value in STATES or value in KINDS:
        text = word_of(value)
        return text[:1].upper() + text[1:]
    return str(gettext(dict(known.choices).get(value, value)))


def _address(changes: Mapping[str, str | None]) -> str:
    """This page with other filters; from its first page."""
    args = {key: value for key, value in request.args.items() if key not in ("after", "before") and value}
    args.update({key: value for key, value in changes.items() if value})
    for key, value in changes.items():
        if not value:
            args.pop(key, None)
    query = urlencode(args)
    return request.script_root + request.path + (f"?{query}" if query else "")


def _addresses(section: str, name: str, listing: Listing) -> dict[str, Any]:
    path = request.view_args or {}
    kept = _query_of(listing, request.args)
    query = f"?{kept}" if kept else ""
    return {
        "with_": _address,
        "plain": request.script_root + request.path,
        "query": kept,
        "csv": url_for(f"{section}.{name}_csv", **path) + query,
        "xlsx": url_for(f"{section}.{name}_xlsx", **path) + query,
        "keep": url_for(f"{section}.{name}_keep", **path),
        "forget": lambda view_id: url_for(f"{section}.{name}_forget", view_id=view_id, **path),
    }


def _linker(link: Link) -> Callable[[Mapping[str, Any]], str | None]:
    if callable(link):
        return link
    if not link:
        return lambda row: None
    return lambda row: url_for(link, id=row["id"])


def page_again(shown: ListPage, **changes: Any) -> ListPage:
    """The same list elsewhere: of one account, in the portal."""
    return replace(shown, **changes)

"""Two people who edit the same thing: the second is told, in every form; walked over all pages with one.

Every page that somebody comes to by links is opened. Whoever adds a form that shows what is there, so that it
can be changed, gives it an EditionField (web/editions.py), or says in NEED_NONE why it needs none.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from pbxbill.store.engine import migrate
from tests.store.test_mediation_meters import POWER
from tests.web.full_offices import fill
from tests.web.offices import URL, Browser, Office, opened_office
from tests.web.reachable import reached
from tests.web.test_catalogue_numbers import ACCESS

TOLD = "Somebody else changed this while you were editing"
WALKS = {"admin": ["/panel/", "/me", "/panel/first-steps"], "reseller": ["/panel/"], "alice": ["/my/"]}
TEXTS = ("text", "number", "email", "tel", "date", "time", "datetime-local", "url", "color", "textarea")
NEED_NONE = {
    "first_steps.rates": "It makes something new.",
    "first_steps.tariff": "It makes something new.",
    "first_steps.try_call": "It says what a call would cost.",
    "till.sell": "It sells something new.",
}
"""Pages with a form that shows values, whose form changes nothing that is there, with the reason."""
WAIT = {"decks.rate", "decks.end_rate"}
"""What is saved waits as an import until it is agreed to."""
ELSEWHERE = {
    "drafts.correct", "settings.edit_calendar", "settings.edit_calendar_text", "meters.edit_tariff"
}  # fmt: skip
"""What is saved is another line, or another version, at an address of its own: what they show stays."""
CHANGES: dict[str, tuple[str, list[str] | tuple[str, ...]]] = {
    "me.show": ("name", ["Ada", "Bea"]),
    "subscriptions.change": ("quantity", ["2", "3"]),
    "notices.words": ("subject", ["Dear customer", "Dear Sir"]),
    "gateways.edit": ("set_secret_key_file", ["{folder}/first", "{folder}/second"]),
    "dunning.edit_penalty_text": ("terms", ("grace_days = 0", "grace_days = 3", "grace_days = 4")),
    "dids.edit_access_number": ("pin_digits", ["9", "10"]),
    "life_cycle.edit_text": ("terms", ("brake_accounts = 3", "brake_accounts = 4", "brake_accounts = 5")),
    "my_notices.choice": ("emails", ["a@example.com", "b@example.com"]),
}
"""What is changed where no field can be changed by itself: values, or a word of a text, and others for it."""
BESIDES = {
    "subscriptions.change": {"when": "now", "reason": "grows"},
    "notices.words": {"do": "save"},
    "gateways.edit": {"set_webhook_secret_file": "{folder}/hooks"},
}
"""What goes with it."""
EDITING = {
    "accounts.auto_top_up", "accounts.credit_limit", "accounts.edit", "brand.show", "carriers.edit",
    "destinations.edit", "dialling_rules.edit", "dids.edit_access_number", "dids.quarantine",
    "dunning.assign_account", "dunning.edit_penalty", "dunning.edit_policy", "first_steps.company",
    "first_steps.tax", "gateways.edit", "invoice_templates.show", "issuer.account_address",
    "issuer.account_billing", "issuer.address", "issuer.numbers", "issuer.terms", "life_cycle.change",
    "life_cycle.edit", "me.show", "my_details.edit", "my_notices.choice", "my_notices.thresholds",
    "my_notices.times", "my_payments.auto_top_up", "notices.account_thresholds", "notices.edit_thresholds",
    "notices.times", "notices.words", "plans.edit", "quarantine.show", "settings.unit",
    "subscriptions.change", "tariffs.edit", "users.edit", "users.show",
}  # fmt: skip
"""Forms that are tried in any case: a walk that loses them says so."""
MAKE = re.compile(r"(^|[._])(new|create|begin|make|start|keep|import|open)(_|$)|/new(/|$)")
"""Endpoints and addresses of forms for something new: what they show are defaults."""


@dataclass
class Field:
    """A control that people see."""

    name: str
    kind: str
    value: str = ""
    options: list[str] = field(default_factory=list)

    def proposals(self) -> list[str]:
        """Other values, of which some may be refused."""
        if self.kind == "select":
            return [x for x in self.options if x != self.value]
        if re.fullmatch(r"[0-9]+", self.value):
            return [str(int(self.value) + 1), str(int(self.value) + 2)]
        if re.fullmatch(r"[0-9]+[.,][0-9]+", self.value):
            return ["7", "8"]
        more = ["7", "8", "21:00", "21:30", "2031-05-05", "2031-05-06"]
        written = [f"{self.value}x", f"{self.value}y"] if self.kind != "time" else []
        comments = [f"{self.value}\n# x", f"{self.value}\n# y"] if self.kind == "textarea" else []
        return [*comments, *written, *more]


@dataclass
class Form:
    """A form of a page: what a browser would send of it, and what it shows."""

    action: str
    sent: list[tuple[str, str]] = field(default_factory=list)
    seen: list[Field] = field(default_factory=list)

    @property
    def edition(self) -> str | None:
        return dict(self.sent).get("edition")

    @property
    def shows_values(self) -> bool:
        return any(x.kind in TEXTS and x.value for x in self.seen)

    def data(self, **changed: str) -> dict[str, list[str]]:
        sent: dict[str, list[str]] = {}
        for name, value in self.sent:
            sent.setdefault(name, []).append(value)
        return sent | {name: [value] for name, value in changed.items()}


class _Reader(HTMLParser):
    """Reads the forms of a page that are sent by POST."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._select: tuple[Field, bool] | None = None
        self._area: Field | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {x: y or "" for x, y in attrs}
        if tag == "form":
            self._form = Form(named.get("action", "")) if named.get("method", "").lower() == "post" else None
            if self._form is not None:
                self.forms.append(self._form)
        if self._form is None or ("disabled" in named and tag != "option"):
            return
        name, value = named.get("name", ""), named.get("value", "")
        if tag == "select":
            self._select = Field(name, "select"), False
        elif tag == "option" and self._select is not None:
            found, chosen = self._select
            found.options.append(value)
            if "selected" in named or (not chosen and len(found.options) == 1):
                found.value = value
            self._select = found, chosen or "selected" in named
        elif tag == "textarea":
            self._area = Field(name, "textarea")
        elif tag == "input" and name:
            self._input(name, named.get("type", "text"), value, is_checked="checked" in named)

    def _input(self, name: str, kind: str, value: str, *, is_checked: bool) -> None:
        assert self._form is not None
        if kind in ("checkbox", "radio"):
            if is_checked:
                self._form.sent.append((name, value or "y"))
        elif kind not in ("submit", "file", "button"):
            self._form.sent.append((name, value))
            if kind in TEXTS:
                self._form.seen.append(Field(name, kind, value))

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area.value += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select" and self._select is not None and self._form is not None:
            found, _ = self._select
            if found.name:
                self._form.seen.append(found)
                if found.options:
                    self._form.sent.append((found.name, found.value))
            self._select = None
        elif tag == "textarea" and self._area is not None and self._form is not None:
            self._area.value = self._area.value.lstrip("\r\n")
            self._form.sent.append((self._area.name, self._area.value))
            self._form.seen.append(self._area)
            self._area = None


def forms_of(text: str) -> list[Form]:
    reader = _Reader()
    reader.feed(text)
    return reader.forms


@dataclass
class Page:
    """A page that somebody came to, with its forms."""

    login: str
    endpoint: str
    path: str
    forms: list[Form]

    @property
    def makes_something_new(self) -> bool:
        return bool(MAKE.search(self.endpoint) or "/new" in self.path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office with something of everything; what a test changes, no other looks at."""
    folder = tmp_path_factory.mktemp("office")
    url = f"sqlite:///{folder / 'pbxbill.db'}"
    migrate(url)
    with opened_office(url) as office:
        calling = fill(office, folder)
        more_to_edit(office, folder)
        yield office
        calling.engine.stop()


def more_to_edit(office: Office, folder: Path) -> None:
    """What the office has none of."""
    admin = office.seat("admin")
    for path, data in (
        ("/panel/access-numbers/new", ACCESS),
        ("/panel/meter-tariffs/new", {"name": "power", "since": "", "text": POWER}),
    ):
        answer = admin.post(path, data)
        assert answer.status_code == 303, (path, answer.text[-3000:])
    for name, secret in (("first", "sk_test_1"), ("second", "sk_test_2"), ("hooks", "whsec_1")):
        (folder / name).write_text(secret)


@pytest.fixture(scope="module")
def pages(filled: Office) -> list[Page]:
    """Pages with forms, each as who came to it first saw it."""
    found: dict[str, Page] = {}
    for login, starts in WALKS.items():
        for one in reached(filled, login, starts):
            if one.endpoint not in found:
                found[one.endpoint] = Page(login, one.endpoint, one.path, forms_of(one.text))
    return list(found.values())


def proposals(page: Page, form: Form, folder: str) -> Iterator[tuple[str, list[str]]]:
    """Fields, each with values that may be taken in the place of what it shows."""
    if page.endpoint in CHANGES:
        name, written = CHANGES[page.endpoint]
        if isinstance(written, tuple):
            shown = next(x.value for x in form.seen if x.name == name)
            old, *new = written
            yield name, [shown.replace(old, x, 1) for x in new]
        else:
            yield name, [x.format(folder=folder) for x in written]
        return
    # Choices are few, and words may be many.
    for shown_field in sorted(form.seen, key=lambda x: x.kind != "select"):
        yield shown_field.name, shown_field.proposals()


def edited_again(browser: Browser, page: Page, place: int, folder: str) -> str:
    """Change what a form shows as the first, then as the second; empty: he was told, else what went wrong."""

    def send(form: Form, name: str, value: str) -> TestResponse:
        besides = {x: y.format(folder=folder) for x, y in BESIDES.get(page.endpoint, {}).items()}
        data = form.data(**{name: value}, **besides)
        return browser.client.post(form.action or page.path, data=data, base_url=URL)

    before = forms_of(browser.get(page.path).text)[place]
    for name, values in proposals(page, before, folder):
        for proposed in values:
            if send(before, name, proposed).status_code != 303:
                continue
            after = forms_of(browser.get(page.path).text)
            if place >= len(after) or after[place].edition == before.edition:
                continue  # saved, and nothing was different
            for other in [x for x in values if x != proposed] or [proposed]:
                second = send(before, name, other)
                if second.status_code == 303:
                    return f"{name}: the second was not told"
                if TOLD in html.unescape(second.text):
                    now = forms_of(browser.get(page.path).text)[place].edition
                    return "" if now == after[place].edition else f"{name}: it was overwritten"
            return f"{name}: the second could say nothing that is taken"
    return "the first could change nothing"


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_second_is_told_by_every_form(filled: Office, pages: list[Page]) -> None:
    folder = str(Path(filled.url.removeprefix("sqlite:///")).parent)
    wrong, tried = {}, set()
    for page in pages:
        for place, form in enumerate(page.forms):
            if form.edition is None or page.makes_something_new or page.endpoint in WAIT | ELSEWHERE:
                continue
            tried.add(page.endpoint)
            fault = edited_again(filled.seat(page.login), page, place, folder)
            if fault:
                wrong[page.endpoint] = fault
    assert wrong == {}
    assert tried >= EDITING


def test_forms_that_show_what_is_there_have_an_edition(pages: list[Page]) -> None:
    found = {
        page.endpoint
        for page in pages
        if not page.makes_something_new
        for form in page.forms
        if form.edition is None and form.shows_values
    }
    assert found == set(NEED_NONE)

"""Issuers' templates, version by version, by command; and that nothing of a template goes over the net."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pypdf import PdfReader
from sqlalchemy import Engine

from pbxbill.billing.invoices.templates import StoredTemplate, template_in_use
from pbxbill.billing.profiles import profile_of
from pbxbill.billing.render.html import filled_body, page, style_sheet
from pbxbill.billing.render.logo import checked_logo
from pbxbill.billing.render.pdf import render_sheets
from pbxbill.billing.render.sample import sample_document
from pbxbill.billing.render.sandbox import TemplateFault
from pbxbill.billing.render.template import Template
from pbxbill.billing.render.typesetting import Job, Typesetter
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import open_engine, transaction
from tests.store.command_line import Ok, Run, shown


@pytest.fixture
def operator(ok: Ok) -> None:
    """A company, its reseller acme, and one customer of each."""
    ok("init")
    ok("accounts", "add", "acme", "--kind", "reseller", "--mode", "postpaid", "--unit", "EUR")
    ok("accounts", "add", "alice", "--parent", "acme", "--unit", "EUR")
    ok("accounts", "add", "bob", "--unit", "EUR")


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A brand: green, with a logo and a few words."""
    made = tmp_path / "brand"
    made.mkdir()
    (made / "template.toml").write_text(
        'font = "serif"\n[colours]\naccent = "#0b6e4f"\n[layout]\nlogo_position = "right"\n'
        '[texts.en]\nclosing = "Thank you for calling"\n'
    )
    Image.new("RGB", (80, 20), "#0b6e4f").save(made / "logo.png")
    return made


def used_for(database: Engine, code: str) -> StoredTemplate:
    """The template of an account's next invoice."""
    with transaction(database) as session:
        profile = profile_of(session, account_by_code(session, code).id)
        return template_in_use(session, profile.issuer_id, profile.template_id)


@pytest.mark.usefixtures("operator")
def test_who_has_none_uses_the_built_in_one(database: Engine) -> None:
    assert used_for(database, "alice").number == 0
    assert used_for(database, "alice").template == Template()


@pytest.mark.usefixtures("operator")
def test_each_issuer_has_his_brand(ok: Ok, pbxbill: Run, database: Engine, folder: Path) -> None:
    assert ok("templates", "save", "green", folder) == "template green of operator: version 1 is in use\n"
    ok("templates", "use", "green")
    assert used_for(database, "bob").template.colours.accent == "#0b6e4f"
    assert used_for(database, "alice").number == 0, "the reseller's customers are billed by the reseller"
    refused = pbxbill("templates", "use", "green", "--issuer", "acme")
    assert refused.exit_code == 2
    assert "no template 'green'" in refused.stderr

    (folder / "template.toml").write_text('[colours]\naccent = "#7a1f4e"\n')
    ok("templates", "save", "plum", folder, "--issuer", "acme")
    ok("templates", "use", "plum", "--issuer", "acme")
    stored = used_for(database, "alice")
    assert stored.template.colours.accent == "#7a1f4e"
    assert stored.logo is not None
    assert stored.logo.media_type == "image/png"
    assert used_for(database, "bob").name == "green"
    assert "closing" in used_for(database, "bob").template.texts["en"]
    listed = shown(ok, "templates", "list")
    assert [(x["issuer"], x["name"], x["current"], x["used_by_issuer"]) for x in listed] == [
        ("operator", "green", 1, True),
        ("acme", "plum", 1, True),
    ]


@pytest.mark.usefixtures("operator")
def test_one_account_may_have_another(ok: Ok, pbxbill: Run, database: Engine, folder: Path) -> None:
    ok("templates", "save", "green", folder)
    ok("templates", "use", "green", "--account", "bob")
    assert used_for(database, "bob").name == "green"
    assert used_for(database, "acme").number == 0
    assert shown(ok, "templates", "list")[0]["accounts"] == 1
    ok("templates", "use", "built-in", "--account", "bob")
    assert used_for(database, "bob").number == 0
    assert "not billed by operator" in pbxbill("templates", "use", "green", "--account", "alice").stderr


@pytest.mark.usefixtures("operator")
def test_one_with_an_error_is_kept_and_the_last_good_one_stays(
    ok: Ok, pbxbill: Run, database: Engine, folder: Path
) -> None:
    ok("templates", "save", "green", folder)
    ok("templates", "use", "green")
    (folder / "document.html").write_text("<h1>{{ document.number }}</h1>\n\n{{ document.totl|money }}\n")
    saved = pbxbill("templates", "save", "green", folder)
    assert saved.exit_code == 3
    assert "version 2 is kept, but cannot be used: line 3: there is no field 'totl'" in saved.stdout
    assert saved.stderr == "version 1 stays in use\n"
    assert used_for(database, "bob").number == 1
    told = shown(ok, "templates", "show", "green")
    assert (told["version"], told["in_use"]) == (2, 1)
    assert told["error"].startswith("line 3")
    assert [version["number"] for version in told["versions"]] == [2, 1]
    assert shown(ok, "templates", "show", "green", "--version", "1")["error"] == ""

    (folder / "document.html").write_text("<h1>{{ document.number }}</h1>\n\n{{ document.total|money }}\n")
    assert ok("templates", "save", "green", folder) == "template green of operator: version 3 is in use\n"
    assert ok("templates", "save", "green", folder) == "template green of operator: version 3 is in use\n"
    assert used_for(database, "bob").number == 3


@pytest.mark.usefixtures("operator")
def test_a_first_one_with_an_error_cannot_be_used(ok: Ok, pbxbill: Run, folder: Path) -> None:
    (folder / "document.html").write_text("{% for line in document.lines %}")
    saved = pbxbill("templates", "save", "green", folder)
    assert (saved.exit_code, saved.stderr) == (3, "none is in use yet\n")
    assert "no version without errors" in pbxbill("templates", "use", "green").stderr
    assert shown(ok, "templates", "list")[0]["current"] is None


@pytest.mark.usefixtures("operator")
def test_a_logo_alone(ok: Ok, pbxbill: Run, database: Engine, tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (80, 20), "#0b6e4f").save(stream, "JPEG")
    (tmp_path / "logo.png").write_bytes(stream.getvalue())
    assert "version 1 is in use" in ok("templates", "logo", "ours", tmp_path / "logo.png")
    assert shown(ok, "templates", "show", "ours")["logo"].startswith("image/jpeg"), "whatever its name says"
    (tmp_path / "logo.png").write_bytes(b"%PDF-1.7")
    refused = pbxbill("templates", "logo", "ours", tmp_path / "logo.png")
    assert refused.exit_code == 2
    assert "no PNG, JPEG or SVG" in refused.stderr
    ok("templates", "use", "ours")
    logo = used_for(database, "bob").logo
    assert logo is not None
    assert logo.content == stream.getvalue()


@pytest.mark.parametrize(
    "options,reason",
    [
        ('font = "comic"', "font is 'comic'; it can be sans, serif"),
        ('[colours]\naccent = "red"', "write it like #1f4e79"),
        ('[colours]\naccnt = "#112233"', "colours has no 'accnt'"),
        ('[layout]\npage_size = "A3"', "it can be A4, Letter"),
        ("[layout]\nshow_bank = 1", "show_bank must be like true"),
        ('[layout]\ncall_columns = ["price"]', "a column of call_columns is 'price'"),
        ("[layout]\ncall_columns = []", "at least one column"),
        ('[texts.German]\ndue = "x"', "no language"),
        ("[texts.de]\ndue = 5", "text due must be a text"),
        ('[texts.de]\n"<b>" = "x"', "no name of a text"),
        ("hmtl = ''", "template has no 'hmtl'"),
        ("font = ", "template.toml: "),
    ],
)
def test_options_that_cannot_be_are_refused(pbxbill: Run, folder: Path, options: str, reason: str) -> None:
    (folder / "template.toml").write_text(options)
    refused = pbxbill("templates", "preview", "--folder", folder)
    assert refused.exit_code == 2
    assert reason in refused.stderr


def test_a_preview_says_line_and_reason(pbxbill: Run, ok: Ok, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.pdf"
    (folder / "document.html").write_text("<p>\n{{ document.nummer }}")
    refused = pbxbill("templates", "preview", "--folder", folder, "--out", out)
    assert refused.stderr == "pbxbill: line 2: there is no field 'nummer'\n"
    assert not out.exists()
    (folder / "document.html").write_text("<p>\n\n<img src='http://127.0.0.1:9/logo.png'>")
    refused = pbxbill("templates", "preview", "--folder", folder, "--out", out)
    assert "line 3: html wants http://127.0.0.1:9/logo.png, but nothing is fetched" in refused.stderr
    (folder / "document.html").unlink()
    (folder / "document.css").write_text("h1 { color: red }\nh1 { colour: red }")
    result = pbxbill("templates", "preview", "--folder", folder, "--out", out)
    assert result.stdout == f"{out}, 2 pages\n"
    assert "at line 2" in result.stderr
    assert "Thank you for calling" in PdfReader(out).pages[0].extract_text()


def test_a_preview_for_a_browser(ok: Ok, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.html"
    ok("templates", "preview", "--folder", folder, "--sample", "quote", "--language", "es", "--out", out)
    assert "Presupuesto" in out.read_text()
    assert "data:image/png;base64," in out.read_text()


def test_the_built_in_one_can_be_exported_changed_and_previewed(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    written = ok("templates", "export", "built-in", tmp_path / "mine")
    assert [Path(line).name for line in written.splitlines()] == [
        "template.toml",
        "document.html",
        "document.css",
    ]
    assert pbxbill("templates", "export", "built-in", tmp_path / "mine").exit_code == 2
    html = tmp_path / "mine" / "document.html"
    html.write_text(html.read_text().replace("<h1>", "<h1>Pro "))
    ok("templates", "preview", "--folder", tmp_path / "mine", "--out", tmp_path / "x.pdf")
    assert "Pro Invoice" in PdfReader(tmp_path / "x.pdf").pages[0].extract_text()


def test_samples_of_every_kind(pbxbill: Run, tmp_path: Path) -> None:
    refused = pbxbill("templates", "preview", "--sample", "list")
    assert "samples are invoice, long-invoice, paid-invoice, draft" in refused.stderr


class Listener:
    """A server of this machine that notes who connects."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.callers: list[object] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, caller = self._socket.accept()
            except OSError:
                return
            self.callers.append(caller)
            connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


HTML = """<link rel=stylesheet href="{u}"><link rel=attachment href="{u}"><img src="{u}">
<object data="{u}"></object><embed src="{u}"><iframe src="{u}"></iframe>
<base href="{u}"><img src="x.png"><style>@import url({u});</style>
<svg xmlns="http://www.w3.org/2000/svg"><image href="{u}"/><use href="{u}#a"/></svg>
<a rel=attachment href="{u}">x</a>
<p style="background: url({u})">{{{{ document.number }}}}</p>
<script src="{u}"></script><video src="{u}"></video>"""
CSS = """@font-face {{ font-family: x; src: url({u}) }} p {{ font-family: x; content: url({u}) }}
@page {{ background: url({u}); @top-left {{ content: url({u}) }} }} li {{ list-style-image: url({u}) }}"""


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "HTTP"])
def test_nothing_goes_over_the_net(listener: Listener, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{listener.port}/x"
    template = Template(html=HTML.format(u=url), css=CSS.format(u=url))
    sheets = render_sheets(sample_document(), template)
    assert sheets.refused
    # The layer below alone holds as well, without the process around it.
    document = sample_document()
    job = Job(page(document, filled_body(document, template, "")), style_sheet(template))
    assert Typesetter().set(job).refused
    assert listener.callers == []


def test_the_listener_hears(listener: Listener) -> None:
    socket.create_connection(("127.0.0.1", listener.port)).close()
    for _ in range(100):
        if listener.callers:
            break
        threading.Event().wait(0.05)
    assert listener.callers


def test_a_template_that_is_too_much_takes_nothing_down(folder: Path) -> None:
    with pytest.raises(TemplateFault):
        render_sheets(sample_document(), Template(html="{% for a in range(9999) %}" * 3 + "{% endfor %}" * 3))
    assert render_sheets(sample_document(), Template(css="p { color: red }")).pages == 2


def test_what_is_kept_is_what_was_said(ok: Ok, folder: Path) -> None:
    ok("init")
    ok("templates", "save", "green", folder)
    kept = json.loads(ok("templates", "show", "green", "--json"))["template"]
    assert kept["colours"] == {"accent": "#0b6e4f", "text": "#1b1f24", "muted": "#66707b", "line": "#d9dee4"}
    assert kept["layout"]["logo_position"] == "right"
    assert checked_logo((folder / "logo.png").read_bytes()).media_type == "image/png"

"""templates: what invoices look like, tried on samples or on real documents before anybody gets them."""

import sys
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

EXIT_KEPT_WITH_ERROR = 3
BUILT_IN_NAME = "built-in"

folder_type = click.Path(exists=True, file_okay=False, path_type=Path)
issuer_option = click.option(
    "--issuer", "code", default="operator", help="Whose it is: your company, or a reseller."
)


@click.group()
def templates() -> None:
    """Templates: what invoices, notes, quotes and receipts look like."""


@templates.command("list")
@click.option("--issuer", "code", help="Only those of one issuer.")
@json_option
@pass_context
def list_templates(context: Context, code: str | None, as_json: bool) -> None:
    """List templates, and the version of each that is in use."""
    from pbxbill.billing.invoices.templates import templates_of

    with context.application() as application, transaction(reading(application.database)) as session:
        if code is None:
            issuers = session.scalars(select(AccountRow).where(AccountRow.kind != "customer")).all()
        else:
            issuers = [issuer_by_code(session, code)]
        listed = [row._asdict() for row in templates_of(session, issuers)]
    if as_json:
        print_json(listed)
        return
    columns = ("Issuer", "Template", ">In use", ">Newest", "Fault of the newest", "Issuer's", ">Accounts")
    rows = ({**row, "used_by_issuer": "yes" if row["used_by_issuer"] else ""} for row in listed)
    print_table("", columns, ([*row.values()] for row in rows))


@templates.command("show")
@click.argument("name")
@issuer_option
@click.option("--version", "number", type=int, help="Default: the newest.")
@json_option
@pass_context
def show(context: Context, name: str, code: str, number: int | None, as_json: bool) -> None:
    """Show a version of a template, and which others there are."""
    import json

    from pbxbill.billing.invoices.templates import current_version_of, template_version, template_versions
    from pbxbill.billing.render.template import template_to_json

    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = issuer_by_code(session, code)
        stored = template_version(session, issuer, name, number)
        versions = template_versions(session, issuer, name)
        current = current_version_of(session, issuer, name)
    told: dict[str, Any] = {
        "issuer": code,
        "name": name,
        "version": stored.number,
        "in_use": current,
        "error": stored.error,
        "logo": None
        if stored.logo is None
        else f"{stored.logo.media_type}, {len(stored.logo.content)} bytes",
        "template": json.loads(template_to_json(stored.template)),
        "versions": [{"number": n, "saved": moment(at), "error": error} for n, at, error in versions],
    }
    if as_json:
        print_json(told)
        return
    for key in ("issuer", "name", "version", "in_use", "error", "logo"):
        click.echo(f"{key.replace('_', ' ')}: {'' if told[key] is None else told[key]}")
    for key, value in told["template"].items():
        length = f"{len(value.splitlines())} lines" if key in ("html", "css") and value else None
        click.echo(f"{key}: {length or json.dumps(value, ensure_ascii=False)}")
    rows = ([*version.values()] for version in told["versions"])
    print_table("Versions", (">Number", "Saved", "Fault"), rows)


@templates.command("export")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@issuer_option
@pass_context
def export(context: Context, name: str, folder: Path, code: str) -> None:
    """Write a template's files to a folder, to begin another from; NAME built-in is the one that we bring."""
    from pbxbill.billing.invoices.templates import BUILT_IN_STORED, template_version
    from pbxbill.billing.render.template_folder import write_folder

    stored = BUILT_IN_STORED
    if name != BUILT_IN_NAME:
        with context.application() as application, transaction(reading(application.database)) as session:
            stored = template_version(session, issuer_by_code(session, code), name)
    for path in write_folder(folder, stored.template, stored.logo):
        click.echo(path)


@templates.command("save")
@click.argument("name")
@click.argument("folder", type=folder_type)
@issuer_option
@pass_context
def save(context: Context, name: str, folder: Path, code: str) -> None:
    """Keep the files of a folder as a template's newest version.

    template.toml has font, [colours], [layout] and [texts.LANGUAGE]; document.html and document.css are yours
    to write (`pbxbill templates export built-in FOLDER` begins with ours); logo.svg, logo.png or logo.jpg is
    the logo. Each may be missing. A version with an error is kept, and not used; the exit code is then 3.
    """
    from pbxbill.billing.invoices.templates import StoredTemplate
    from pbxbill.billing.render.template_check import fault_of
    from pbxbill.billing.render.template_folder import read_folder

    template, logo = read_folder(folder)
    _keep(context, code, name, StoredTemplate(name, 0, template, logo, fault_of(template, logo)))


@templates.command("logo")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@issuer_option
@pass_context
def logo(context: Context, name: str, file: Path, code: str) -> None:
    """Give a template another logo (PNG, JPEG or SVG); a template that is not there yet is made."""
    from pbxbill.billing.invoices.templates import BUILT_IN_STORED, template_version, templates_of
    from pbxbill.billing.render.logo import LOGO_MAX_BYTES, checked_logo
    from pbxbill.billing.render.template_check import fault_of

    with file.open("rb") as stream:
        image = checked_logo(stream.read(LOGO_MAX_BYTES + 1))
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = issuer_by_code(session, code)
        there = any(row.name == name for row in templates_of(session, [issuer]))
        stored = template_version(session, issuer, name) if there else BUILT_IN_STORED
    _keep(context, code, name, stored._replace(logo=image, error=fault_of(stored.template, image)))


def _keep(context: Context, code: str, name: str, checked: Any) -> None:
    from pbxbill.billing.invoices.templates import current_version_of, save_template

    now_us = context.clock.now_us()
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, code)
        kept = save_template(session, issuer, name, checked, now_us)
        current = current_version_of(session, issuer, name)
    if not kept.error:
        click.echo(f"template {name} of {code}: version {kept.number} is in use")
        return
    used = "none is in use yet" if current is None else f"version {current} stays in use"
    click.echo(f"template {name} of {code}: version {kept.number} is kept, but cannot be used: {kept.error}")
    click.echo(used, err=True)
    sys.exit(EXIT_KEPT_WITH_ERROR)


@templates.command("use")
@click.argument("name")
@issuer_option
@click.option("--account", "account_code", help="For one account of the issuer; default: for all of them.")
@pass_context
def use(context: Context, name: str, code: str, account_code: str | None) -> None:
    """Make documents with a template from now on; NAME built-in is the one that we bring."""
    from dataclasses import replace

    from pbxbill.billing.parties import issuer_of, set_issuer, template_id_of
    from pbxbill.billing.profiles import profile_of, set_profile
    from pbxbill.store.accounts import account_by_code

    plain = "" if name == BUILT_IN_NAME else name
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, code)
        template_id = template_id_of(session, issuer.id, plain)
        if account_code is None:
            set_issuer(session, issuer.id, replace(issuer_of(session, issuer.id), template_id=template_id))
        else:
            account = account_by_code(session, account_code)
            if account.parent_id != issuer.id:
                raise InputRefused(f"account {account_code} is not billed by {code}; name its issuer")
            terms = profile_of(session, account.id).terms
            set_profile(session, account.id, replace(terms, template_id=template_id))
    click.echo(f"template {name} is used for {account_code or f'the documents of {code}'}")


@templates.command("preview")
@click.argument("name", default=BUILT_IN_NAME)
@issuer_option
@click.option("--folder", type=folder_type, help="Files that are not saved yet, instead of a saved version.")
@click.option("--version", "number", type=int, help="Default: the newest.")
@click.option(
    "--sample", default="invoice", show_default=True, help="Which sample document; `list` names them."
)
@click.option(
    "--invoice", "invoice_id", type=int, help="A real document, draft or issued, instead of a sample."
)
@click.option("--language", default="en", show_default=True, help="Of the sample.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="FILE.pdf or FILE.html.")
@pass_context
def preview(context: Context, /, name: str, code: str, out: Path | None, **options: Any) -> None:
    """Try a template on a sample or a real document: as a PDF, or as HTML for a browser."""
    from pbxbill.billing.render.html import render_html
    from pbxbill.billing.render.pdf import render_sheets, xml_of
    from pbxbill.billing.render.sample import SAMPLES, sample_document
    from pbxbill.billing.render.template_check import notes_on, refuse_fetching
    from pbxbill.billing.render.template_folder import read_folder

    if options["sample"] not in SAMPLES:
        raise InputRefused(f"samples are {', '.join(SAMPLES)}")
    out = out or Path(f"{name}-{options['sample']}.pdf")
    if out.suffix not in (".pdf", ".html"):
        raise InputRefused("--out must end in .pdf or .html")
    document = sample_document(options["sample"], options["language"])
    template, image = _chosen(context, code, name, options["number"])
    if options["folder"] is not None:
        template, image = read_folder(options["folder"])
    if options["invoice_id"] is not None:
        document = _document(context, options["invoice_id"])
    if out.suffix == ".html":
        content, told = render_html(document, template, image).encode(), ""
    else:
        sheets = render_sheets(document, template, image, xml=xml_of(document))
        refuse_fetching(template, sheets)
        for note in notes_on(template, sheets):
            click.echo(f"  {note}", err=True)
        content, told = sheets.pdf, f", {sheets.pages} pages"
    try:
        out.write_bytes(content)
    except OSError as fault:
        raise InputRefused(f"{out} cannot be written: {fault.strerror}") from None
    click.echo(f"{out}{told}")


def _chosen(context: Context, code: str, name: str, number: int | None) -> Any:
    from pbxbill.billing.invoices.templates import BUILT_IN_STORED, template_version

    stored = BUILT_IN_STORED
    if name != BUILT_IN_NAME:
        with context.application() as application, transaction(reading(application.database)) as session:
            stored = template_version(session, issuer_by_code(session, code), name, number)
    return stored.template, stored.logo


def _document(context: Context, invoice_id: int) -> Any:
    from pbxbill.billing.invoices.documents import document_of

    with context.application() as application, transaction(reading(application.database)) as session:
        return document_of(session, invoice_id)


COMMANDS = (templates,)

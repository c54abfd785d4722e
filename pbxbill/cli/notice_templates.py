"""notices templates: the words of notices, tried before anybody gets them."""

import sys
from pathlib import Path
from typing import Any

import click

from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.store.engine import reading, transaction
from pbxbill.written_toml import TOMLDecodeError, read_toml

EXIT_KEPT_WITH_ERROR = 3
MAX_FILE_BYTES = 1_000_000

issuer_option = click.option(
    "--issuer", "code", default="operator", help="Whose it is: your company, or a reseller."
)
language_option = click.option("--language", default="en", show_default=True, help="Like en, de or pt-BR.")
file_type = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def templates() -> None:
    """Words of notices, by issuer, kind and language; without any the built-in ones are used."""


@templates.command("list")
@issuer_option
@json_option
@pass_context
def list_templates(context: Context, /, code: str, *, as_json: bool) -> None:
    """List an issuer's own templates, and the version of each that is in use."""
    from pbxbill.billing.notices.notice_templates import templates_of

    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = issuer_by_code(session, code)
        listed: list[dict[str, Any]] = [
            {
                "kind": row.kind,
                "language": row.language,
                "in_use": used,
                "newest": row.number,
                "error": row.error,
                "by": row.by,
                "saved": moment(row.created_us),
            }
            for row, used in templates_of(session, issuer.id)
        ]
    if as_json:
        print_json(listed)
        return
    columns = ("Kind", "Language", ">In use", ">Newest", "Fault of the newest", "By", "Saved")
    print_table("", columns, ([*row.values()] for row in listed))


@templates.command("set")
@click.argument("kind")
@click.argument("file", type=file_type)
@issuer_option
@language_option
@pass_context
def set_template(context: Context, /, kind: str, file: Path, code: str, language: str) -> None:
    """Use the words of a TOML file from now on: subject, text and, if you like, html.

    A version with an error is kept, and not used; the exit code is then 3.
    """
    from pbxbill.billing.notices.notice_preview import fault_of
    from pbxbill.billing.notices.notice_templates import checked_language, save_words
    from pbxbill.cli.notices import kind_of

    wanted, words = kind_of(kind), _words_of(file)
    language = checked_language(language)
    fault = fault_of(wanted, language, words)
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, code)
        saved = save_words(
            session, issuer, wanted, language, words, fault, by="cli", now_us=context.clock.now_us()
        )
    if not saved.fault:
        click.echo(f"{wanted} in {language} of {code}: version {saved.number} is in use")
        return
    click.echo(f"{wanted} in {language} of {code}: version {saved.number} is kept, but cannot be used:")
    click.echo(saved.fault)
    click.echo("what was in use stays in use", err=True)
    sys.exit(EXIT_KEPT_WITH_ERROR)


@templates.command("check")
@click.argument("kind")
@click.argument("file", type=file_type)
@language_option
@pass_context
def check_template(_context: Context, /, kind: str, file: Path, language: str) -> None:
    """Say whether the words of a file can be used, and if not, where and why; nothing is kept."""
    from pbxbill.billing.notices.notice_preview import fault_of
    from pbxbill.cli.notices import kind_of

    fault = fault_of(kind_of(kind), language, _words_of(file))
    click.echo(fault or "it can be used")
    if fault:
        sys.exit(EXIT_KEPT_WITH_ERROR)


@templates.command("show")
@click.argument("kind")
@issuer_option
@language_option
@pass_context
def show(context: Context, /, kind: str, code: str, language: str) -> None:
    """Print the words in use as a file for `set`: the issuer's own, or the built-in ones."""
    from pbxbill.billing.notices.notice_templates import built_in_as_template, own_words
    from pbxbill.cli.notices import kind_of

    wanted = kind_of(kind)
    with context.application() as application, transaction(reading(application.database)) as session:
        own = own_words(session, issuer_by_code(session, code).id, wanted, language)
    click.echo(f"# {wanted} in {language}: {'built in' if own is None else f'of {code}'}")
    words = own or built_in_as_template(wanted, language)
    click.echo(f"subject = {_toml(words.subject)}")
    click.echo(f"text = {_toml(words.text)}")
    if words.html:
        click.echo(f"html = {_toml(words.html)}")


@templates.command("preview")
@click.argument("kind")
@click.option("--file", type=file_type, help="Words that are not saved yet.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="FILE.html: as mail programs show it."
)
@issuer_option
@language_option
@pass_context
def preview(
    context: Context, /, kind: str, *, file: Path | None, out: Path | None, code: str, language: str
) -> None:
    """Show a notice with sample facts."""
    from pbxbill.billing.notices.notice_preview import preview as made
    from pbxbill.billing.notices.notice_templates import own_words
    from pbxbill.billing.parties import party_of
    from pbxbill.cli.notices import kind_of

    wanted = kind_of(kind)
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = issuer_by_code(session, code)
        words = own_words(session, issuer.id, wanted, language) if file is None else _words_of(file)
        seller = party_of(session, issuer.id).legal_name or issuer.code
    notice = made(wanted, language, words, seller=seller)
    if out is not None:
        try:
            out.write_text(notice.html, encoding="utf-8")
        except OSError as fault:
            raise InputRefused(f"{out} cannot be written: {fault.strerror}") from None
    click.echo(f"Subject: {notice.subject}\n\n{notice.text}", nl=False)


@templates.command("clear")
@click.argument("kind")
@issuer_option
@language_option
@pass_context
def clear(context: Context, /, kind: str, code: str, language: str) -> None:
    """Go back to the built-in words; earlier versions are kept."""
    from pbxbill.billing.notices.notice_templates import save_words
    from pbxbill.cli.notices import kind_of

    wanted = kind_of(kind)
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, code)
        save_words(session, issuer, wanted, language, None, "", by="cli", now_us=context.clock.now_us())
    click.echo(f"{wanted} in {language} of {code}: the built-in words are in use")


def _words_of(file: Path) -> Any:
    from pbxbill.billing.notices.notice_templates import NoticeWords

    with file.open("rb") as stream:
        content = stream.read(MAX_FILE_BYTES + 1)
    try:
        if len(content) > MAX_FILE_BYTES:
            raise InputRefused(f"{file} has more than {MAX_FILE_BYTES} bytes")
        facts = read_toml(content.decode())
    except UnicodeDecodeError:
        raise InputRefused(f"{file} is not written in UTF-8") from None
    except TOMLDecodeError as fault:
        raise InputRefused(f"{file}: {fault}") from None
    unknown = sorted(set(facts) - {"subject", "text", "html"})
    if unknown:
        raise InputRefused(f"{file}: {unknown[0]!r} is none of subject, text and html")
    if not all(isinstance(value, str) for value in facts.values()) or not {"subject", "text"} <= set(facts):
        raise InputRefused(f"{file}: subject and text are texts, and so is html where there is one")
    return NoticeWords(facts["subject"], facts["text"], facts.get("html", ""))


def _toml(text: str) -> str:
    if "\n" in text and "'''" not in text:
        return f"'''\n{text}'''"
    import json

    return json.dumps(text, ensure_ascii=False)

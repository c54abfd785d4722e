"""notices: what accounts are told of, and how each of them wants to be told."""

from typing import Any

import click

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.notice_templates import templates
from pbxbill.cli.output import json_option, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction


@click.group()
def notices() -> None:
    """Notices: kinds, words, addresses, quiet hours, digests."""


@notices.command("kinds")
@json_option
@pass_context
def list_kinds(_context: Context, /, *, as_json: bool) -> None:
    """List what accounts are told of, with the facts that each notice has."""
    from pbxbill.billing.notices.notice_kinds import KINDS

    listed: list[dict[str, Any]] = [
        {
            "kind": str(kind),
            "about": terms.about,
            "facts": list(terms.facts),
            "may_have": list(terms.may_have),
            "urgent": terms.urgent,
            "required": terms.required,
            "to_operator": terms.internal,
        }
        for kind, terms in KINDS.items()
    ]
    if as_json:
        print_json(listed)
        return
    rows = (
        (
            row["kind"],
            row["about"],
            ", ".join([*row["facts"], *(f"[{name}]" for name in row["may_have"])]),
            ", ".join(
                word
                for word, is_so in (
                    ("urgent", row["urgent"]),
                    ("always on", row["required"]),
                    ("operator's", row["to_operator"]),
                )
                if is_so
            ),
        )
        for row in listed
    )
    print_table("", ("Kind", "About", "Facts", ""), rows)


@notices.command()
@click.argument("code")
@json_option
@pass_context
def show(context: Context, /, code: str, *, as_json: bool) -> None:
    """Show how an account is told of each kind."""
    from pbxbill.billing.notices.notice_kinds import KINDS
    from pbxbill.billing.notices.notice_profiles import addressee_of

    with context.application() as application, transaction(reading(application.database)) as session:
        account = account_by_code(session, code)
        told = {
            kind: addressee_of(session, account.id, kind)
            for kind, terms in KINDS.items()
            if account.kind == "operator" or not terms.internal
        }
    who = next(iter(told.values()))
    delivery = who.delivery
    quiet = None
    if delivery.quiet_from is not None and delivery.quiet_to is not None:
        quiet = f"{_clock(delivery.quiet_from)}-{_clock(delivery.quiet_to)}"
    facts: dict[str, Any] = {
        "account": code,
        "language": who.language,
        "zone": str(who.zone),
        "in_the_name_of": who.seller,
        "quiet_hours": quiet,
        "digest": f"daily at {_clock(delivery.digest_minute)}" if delivery.digest else None,
    }
    kinds: list[dict[str, Any]] = [
        {"kind": str(kind), "on": who.wants_it, "emails": list(who.emails)} for kind, who in told.items()
    ]
    if as_json:
        print_json(facts | {"kinds": kinds})
        return
    print_table("", ("", ""), ((name.replace("_", " "), value) for name, value in facts.items()))
    print_table(
        "",
        ("Kind", "", "Goes to"),
        ((row["kind"], "on" if row["on"] else "off", " ".join(row["emails"]) or "nobody") for row in kinds),
    )


@notices.command()
@click.argument("code")
@click.argument("kinds", metavar="KIND...", nargs=-1, required=True)
@click.option("--on/--off", "enabled", default=None, help="Whether it is told at all.")
@click.option("--email", "emails", multiple=True, help="To these addresses instead of the usual ones.")
@click.option("--usual", is_flag=True, help="As if nothing had been said about it.")
@pass_context
def choose(
    context: Context,
    /,
    code: str,
    kinds: tuple[str, ...],
    *,
    enabled: bool | None,
    emails: tuple[str, ...],
    usual: bool,
) -> None:
    """Say what an account is told of, and where to; KIND may be "all"."""
    from pbxbill.billing.notices.notice_kinds import KINDS
    from pbxbill.billing.notices.notice_profiles import choose as chosen
    from pbxbill.billing.notices.notice_profiles import forget_choice

    if usual and (emails or enabled is not None):
        raise InputRefused("--usual stands alone")
    if not usual and not emails and enabled is None:
        raise InputRefused("say --on, --off, --email ADDRESS or --usual")
    wanted = [kind_of(kind) for kind in kinds if kind != "all"]
    if "all" in kinds:
        wanted = [kind for kind, terms in KINDS.items() if enabled is not False or not terms.required]
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        for kind in wanted:
            if usual:
                forget_choice(session, account.id, kind)
            else:
                chosen(session, account.id, kind, enabled=enabled, emails=emails or None)
    click.echo(f"{code}: {len(wanted)} kinds changed; `pbxbill notices show {code}` shows them")


@notices.command()
@click.argument("code")
@click.option("--quiet", metavar="HH:MM-HH:MM", help="Nothing that is not urgent is sent in these hours.")
@click.option("--no-quiet", is_flag=True, help="At any hour.")
@click.option("--digest", metavar="HH:MM", help="What is not urgent comes in one message a day, then.")
@click.option("--no-digest", is_flag=True, help="Each by itself.")
@pass_context
def times(
    context: Context, /, code: str, *, quiet: str | None, no_quiet: bool, digest: str | None, no_digest: bool
) -> None:
    """Say when an account is told of what is not urgent, by the clock of its own time zone."""
    from dataclasses import replace

    from pbxbill.billing.notices.notice_profiles import delivery_of, set_delivery

    if (quiet and no_quiet) or (digest and no_digest):
        raise InputRefused("on or off, not both")
    if not (quiet or no_quiet or digest or no_digest):
        raise InputRefused("say --quiet 22:00-07:00, --no-quiet, --digest 08:00 or --no-digest")
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        delivery = delivery_of(session, account.id)
        if no_quiet:
            delivery = replace(delivery, quiet_from=None, quiet_to=None)
        if quiet:
            begin, _, end = quiet.partition("-")
            delivery = replace(delivery, quiet_from=_minute(begin), quiet_to=_minute(end))
        if no_digest:
            delivery = replace(delivery, digest="")
        if digest:
            delivery = replace(delivery, digest="daily", digest_minute=_minute(digest))
        set_delivery(session, account.id, delivery)
    click.echo(f"{code}: told from now on; `pbxbill notices show {code}` shows how")


def kind_of(text: str) -> Any:
    """A kind as somebody wrote it."""
    from pbxbill.billing.notices.notice_kinds import NoticeKind

    try:
        return NoticeKind(text.replace("-", "_"))
    except ValueError:
        raise InputRefused(
            f"there is no kind {text[:40]!r} of notices; `pbxbill notices kinds` lists them"
        ) from None


def _minute(text: str) -> int:
    hours, colon, minutes = text.strip().partition(":")
    if not (colon and hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
        raise InputRefused(f"{text[:20]!r} is no hour of the day; write it like 22:00")
    return int(hours) * 60 + int(minutes)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


notices.add_command(templates)

COMMANDS = (notices,)

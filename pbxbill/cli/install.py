"""install: puts what a switch needs into its configuration, after showing the difference."""

import sys
from pathlib import Path

import click

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import moment
from pbxbill.cli.planned_files import (
    CDR_FOLDER,
    OUTBOUND_SOCKET,
    Plan,
    missing_file,
    plan_asterisk,
    plan_freeswitch,
    start_plan,
)
from pbxbill.sections import AsteriskSection, FreeSwitchSection
from pbxbill.settings import asterisk_settings, freeswitch_settings

yes_option = click.option("--yes", is_flag=True, help="Write the changes; without it they are only shown.")
replace_option = click.option(
    "--replace",
    multiple=True,
    help="A file of yours that ours may replace (a copy is kept); may be repeated.",
)
switch_option = click.option("--switch", "name", help="Which [[switch]] of pbxbill's configuration it is.")


@click.group()
def install() -> None:
    """Put what a switch needs into its configuration."""


@install.command()
@click.option(
    "--etc",
    type=click.Path(path_type=Path),
    default=Path("/etc/asterisk"),
    show_default=True,
    help="Asterisk's configuration folder.",
)
@switch_option
@replace_option
@yes_option
@pass_context
def asterisk(
    context: Context, /, etc: Path, *, name: str | None, replace: tuple[str, ...], yes: bool
) -> None:
    """Show the difference in Asterisk's configuration; write it with --yes."""
    section = _section(context, "asterisk", name)
    configured, missing = None, None
    if isinstance(section, AsteriskSection):
        missing = missing_file(section.secret_file)
        known = section.model_copy(update={"secret_file": None}) if missing else section
        configured = asterisk_settings(known)
    plan = start_plan(etc, configured.secret if configured else "", missing)
    plan_asterisk(plan, configured.username if configured else "pbxbill", frozenset(replace))
    if configured and (configured.agi_host, configured.agi_port) != ("127.0.0.1", 4573):
        agi = f"agi://{configured.agi_host}:{configured.agi_port}"
        plan.notes.append(f"in [globals] of extensions.conf: PBXBILL_AGI = {agi}")
    _finish(context, plan, "secret_file", yes=yes)


@install.command()
@click.option(
    "--etc",
    type=click.Path(path_type=Path),
    default=Path("/etc/freeswitch"),
    show_default=True,
    help="FreeSWITCH's configuration folder.",
)
@switch_option
@replace_option
@yes_option
@pass_context
def freeswitch(
    context: Context, /, etc: Path, *, name: str | None, replace: tuple[str, ...], yes: bool
) -> None:
    """Show the difference in FreeSWITCH's configuration; write it with --yes."""
    section = _section(context, "freeswitch", name)
    configured, missing = None, None
    if isinstance(section, FreeSwitchSection):
        missing = missing_file(section.password_file)
        known = section.model_copy(update={"password_file": None}) if missing else section
        configured = freeswitch_settings(known)
    plan = start_plan(etc, configured.password if configured else "", missing)
    places = {}
    if configured is not None:
        places[OUTBOUND_SOCKET] = f"{configured.outbound_host}:{configured.outbound_port}"
        places[CDR_FOLDER] = configured.cdr_dir or CDR_FOLDER
    plan_freeswitch(plan, places, frozenset(replace))
    _finish(context, plan, "password_file", yes=yes)


def _section(context: Context, kind: str, name: str | None) -> object:
    # An installation may come before pbxbill's own configuration.
    from pbxbill.cli.daemons import chosen

    if context.config_path is None or (name is None and len(context.settings.switches(kind)) != 1):
        return None
    return chosen(context.settings, kind, name)


def _finish(context: Context, plan: Plan, option: str, *, yes: bool) -> None:
    for change in plan.changes:
        click.echo(change.diff())
    for kept in plan.kept:
        click.echo(
            f"{kept} differs from ours and stays as it is; --replace {kept} writes ours, keeping a copy",
            err=True,
        )
    if not plan.changes:
        click.echo("nothing to change" if not plan.kept else "nothing else to change")
    elif not yes:
        click.echo(f"\nnothing is written yet; --yes writes {len(plan.changes)} files in {plan.etc}")
    else:
        stamp = (moment(context.clock.now_us()) or "").replace(":", "").replace("-", "")
        copies = plan.write(stamp.partition(".")[0])
        click.echo(
            f"\nwrote {len(plan.changes)} files in {plan.etc}, kept {len(copies)} copies of what was there"
        )
        if any(change.secret for change in plan.changes):
            click.echo(f'a secret for pbxbill is in {plan.secret_file}: {option} = "{plan.secret_file}"')
    for note in plan.notes if plan.changes else ():
        click.echo(note)
    for warning in plan.warnings:
        click.echo(f"WARNING: {warning}", err=True)
    if yes and plan.kept:
        sys.exit(1)


COMMANDS = (install,)

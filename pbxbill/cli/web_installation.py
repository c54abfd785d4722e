"""What the web process is told of the installation: configuration without secrets, switches, jobs, checks."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy.engine import make_url

from pbxbill.cli.configuration_reference import TABLES
from pbxbill.cli.context import Context
from pbxbill.cli.diagnosis import findings
from pbxbill.jobs.schedule import JOBS
from pbxbill.sections import Section
from pbxbill.settings import Settings
from pbxbill.web.installation import Checked, Installation, KnownJob, KnownSwitch, Option, OptionTable


def installation_of(context: Context) -> Installation:
    """As the panel shows it."""
    settings = context.settings
    return Installation(
        str(context.config_path or ""),
        tuple(_tables(settings)),
        tuple(KnownSwitch(x.name, x.type, f"{x.host}:{x.port}") for x in settings.switch),
        tuple(KnownJob(x.name, x.about, x.every_s) for x in JOBS),
        lambda: _checked(context),
    )


def _checked(context: Context) -> Iterable[Checked]:
    return [Checked(x.check, x.verdict.value, x.detail, x.remedy) for x in findings(context)]


def _tables(settings: Settings) -> Iterator[OptionTable]:
    abouts = {section: heading for heading, section in TABLES}
    shown: list[tuple[str, Section]] = [
        (heading, getattr(settings, heading.strip("[]")))
        for heading, section in TABLES
        if section in abouts and not heading.startswith("[[")
    ]
    shown += [(f"[[switch]] {x.name}", x) for x in settings.switch]
    for heading, section in shown:
        options = tuple(
            Option(
                name,
                _shown(name, getattr(section, name)),
                not field.is_required() and getattr(section, name) == field.default,
                field.description or "",
            )
            for name, field in type(section).model_fields.items()
        )
        yield OptionTable(heading, (type(section).__doc__ or "").strip().splitlines()[0], options)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        if name == "url" and secret and not secret.startswith("unix:"):
            # Where the database is may be seen, with what password not.
            return make_url(secret).set(query={}).render_as_string(hide_password=True)
        return "***" if secret else ""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | frozenset | set):
        return ", ".join(str(x) for x in value)
    return str(value) if isinstance(value, str | int | float | Path) else repr(value)

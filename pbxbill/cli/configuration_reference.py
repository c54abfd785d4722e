"""docs/configuration.md, made from the settings' own descriptions: `pbxbill config --reference`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from pbxbill.sections import (
    AsteriskSection,
    DatabaseSection,
    FreeSwitchSection,
    JobsSection,
    LogSection,
    MailSection,
    MetricsSection,
    RedisSection,
    Section,
    WebhooksSection,
    WebSection,
)

HEAD = """\
# Configuration

pbxbill reads one file, `pbxbill.toml`: the one that `--config` names, else `$PBXBILL_CONFIG`, else
`./pbxbill.toml`, else `/etc/pbxbill/pbxbill.toml`. `pbxbill init` writes a first one, `pbxbill config` shows
what is in force without secrets, `pbxbill doctor` tries it all out.

Variables of the environment go before the file: `PBXBILL_` and the option, with two underscores between
table and key, e.g. `PBXBILL_DATABASE__URL` or `PBXBILL_LOG__LEVEL`. `PBXBILL_SWITCH` replaces all switches by
a JSON list of such tables. An option or variable that is not known stops the program with the name of the
nearest one that is: a typing error must not become a default.

Secrets belong into files that only pbxbill may read: the configuration itself (mode 600), or
`password_file` and `secret_file`, which suit systemd credentials. They are never printed or logged.

Secrets that stand in the database (second factors, secrets of webhooks) are sealed with the key file,
`web.key_file`, which `pbxbill init` makes: every process and every command that reads them needs it. Without
it they are lost, so keep a copy, and not beside the copies of the database. [security.md](security.md) tells
more.

This page is made by `pbxbill config --reference`.
"""

TABLES: tuple[tuple[str, type[Section]], ...] = (
    ("[database]", DatabaseSection),
    ("[redis]", RedisSection),
    ("[log]", LogSection),
    ("[metrics]", MetricsSection),
    ("[jobs]", JobsSection),
    ("[web]", WebSection),
    ("[mail]", MailSection),
    ("[webhooks]", WebhooksSection),
    ('[[switch]] with type = "freeswitch"', FreeSwitchSection),
    ('[[switch]] with type = "asterisk"', AsteriskSection),
)


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for heading, section in TABLES:
        parts.append(
            f"\n## `{heading}`\n\n{section.__doc__}\n\n| option | default | meaning |\n|---|---|---|\n"
        )
        parts += [f"{row}\n" for row in _rows(section)]
    return "".join(parts)


def _rows(section: type[Section]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield f"| `{name}` | {_default(field)} | {(field.description or '').replace('|', chr(92) + '|')} |"


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if field.is_required():
        return "required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "":
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str | Path) else f"`{value}`"

"""The configuration: pbxbill.toml, overlaid by PBXBILL_... variables, typed and explained option by option.

Values are checked here once; what is wrong is said by option name, never with the value, which may be a
secret. docs/configuration.md is this module's text (configuration_reference.py).
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pbxbill.ami.settings import AsteriskSettings
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.esl.settings import FreeSwitchSettings
from pbxbill.notify.smtp import MailSettings, checked
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
    SwitchSection,
    WebhooksSection,
    WebSection,
)
from pbxbill.written_toml import TOMLDecodeError, read_toml

PREFIX = "PBXBILL_"
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
CONFIG_VARIABLE = "PBXBILL_CONFIG"
SYSTEM_CONFIG = Path("/etc/pbxbill/pbxbill.toml")
LOCAL_CONFIG = Path("pbxbill.toml")


class Settings(BaseSettings):
    """The whole configuration. The environment goes before the file."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    database: DatabaseSection = DatabaseSection()
    redis: RedisSection = RedisSection()
    log: LogSection = LogSection()
    metrics: MetricsSection = MetricsSection()
    jobs: JobsSection = JobsSection()
    web: WebSection = WebSection()
    mail: MailSection = MailSection()
    webhooks: WebhooksSection = WebhooksSection()
    switch: tuple[Annotated[SwitchSection, Field(discriminator="type")], ...] = Field(
        default=(), description="One [[switch]] table for each switch"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then what the file holds."""
        return env_settings, init_settings

    @property
    def database_url(self) -> str:
        """The database's URL, with its password."""
        return self.database.url.get_secret_value()

    @property
    def redis_url(self) -> str | None:
        """Redis' URL, or None where there is none."""
        return self.redis.url.get_secret_value() or None if self.redis.url is not None else None

    def switches(self, kind: str | None = None) -> list[SwitchSection]:
        """The switches of one type, or all."""
        return [switch for switch in self.switch if kind in (None, switch.type)]

    def metrics_port(self, switch_name: str) -> int:
        """Where the daemon of a switch serves metrics."""
        names = [switch.name for switch in self.switch]
        return self.metrics.port + names.index(switch_name)

    @property
    def jobs_metrics_port(self) -> int:
        """Where the process that runs the jobs serves metrics."""
        return self.metrics.port + len(self.switch)

    @property
    def web_metrics_port(self) -> int:
        """Where the web process serves metrics."""
        return self.jobs_metrics_port + 1


def find_config(explicit: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The configuration file that counts; None if there is none and none was asked for."""
    named = explicit or (Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None)
    if named is not None:
        if not named.is_file():
            raise ConfigurationError(f"there is no configuration file {named}")
        return named
    return next((path for path in (LOCAL_CONFIG, SYSTEM_CONFIG) if path.is_file()), None)


def load_settings(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read a configuration file (None: the environment alone); ConfigurationError says what to change."""
    content = {} if path is None else _read(path)
    _refuse_unknown_variables(environment)
    try:
        settings = Settings(**content)
    except ValidationError as error:
        where = str(path or "the environment")
        lines = [f"{where}: {_explained(detail)}" for detail in error.errors(include_input=False)]
        raise ConfigurationError("\n".join(lines)) from None
    except Exception as error:
        if type(error).__name__ != "SettingsError":  # a variable that should hold JSON and does not
            raise
        raise ConfigurationError(f"the environment: {error}") from None
    return _completed(settings, Path() if path is None else path.parent)


def mail_settings(section: MailSection) -> MailSettings:
    """What the sender of the outbox is given; ConfigurationError says what to change."""
    try:
        return checked(MailSettings(**section.model_dump()))
    except InputRefused as error:
        raise ConfigurationError(f"mail: {error}") from None


def freeswitch_settings(section: FreeSwitchSection) -> FreeSwitchSettings:
    """What the FreeSWITCH adapter is given."""
    password = _secret(section.password, section.password_file)
    return FreeSwitchSettings(**_shared(section, FreeSwitchSettings), password=password)


def asterisk_settings(section: AsteriskSection) -> AsteriskSettings:
    """What the Asterisk adapter is given."""
    secret = _secret(section.secret, section.secret_file)
    return AsteriskSettings(**_shared(section, AsteriskSettings), secret=secret)


def _shared(section: Section, settings: type[FreeSwitchSettings] | type[AsteriskSettings]) -> dict[str, Any]:
    names = {field.name for field in fields(settings)} - {"password", "secret"}
    return {name: getattr(section, name) for name in names}


def _secret(value: SecretStr, path: Path | None) -> str:
    if path is None:
        return value.get_secret_value()
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the secret cannot be read from {path}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None


def _completed(settings: Settings, folder: Path) -> Settings:
    names = [switch.name for switch in settings.switch]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"two switches are named {twice!r}; give each a name of its own")
    try:
        url = make_url(settings.database_url)
    except ArgumentError:
        raise ConfigurationError("database.url is no database URL; write sqlite:///FILE") from None
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ConfigurationError("database.url must start with sqlite:/// or postgresql://")
    if settings.redis_url is not None and not settings.redis_url.startswith(REDIS_SCHEMES):
        raise ConfigurationError("redis.url must start with redis://, rediss:// or unix://")
    web = settings.web.model_copy(update={"key_file": (folder / settings.web.key_file).absolute()})
    settings = settings.model_copy(update={"web": web})
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ConfigurationError("database.url names no file; processes share the database: use a file")
        url = url.set(database=str((folder / str(url.database)).absolute()))
        complete = DatabaseSection(url=SecretStr(url.render_as_string(hide_password=False)))
        return settings.model_copy(update={"database": complete})
    return settings


# --- saying what is wrong -----------------------------------------------------------------------


def _explained(detail: Any) -> str:
    location = [part for part in detail["loc"] if part not in {"freeswitch", "asterisk"}]
    name = ".".join(str(part) for part in location)
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown option {name}{_nearest(str(location[-1]), _known_keys(detail['loc']))}"
        case "missing":
            return f"option {name} is missing"
        case "union_tag_not_found" | "union_tag_invalid":
            return f'{name}: give it type = "freeswitch" or type = "asterisk"'
        case _:
            return f"option {name}: {detail['msg']}"


def _known_keys(location: tuple[str | int, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "database": DatabaseSection,
        "redis": RedisSection,
        "log": LogSection,
        "metrics": MetricsSection,
        "jobs": JobsSection,
        "web": WebSection,
        "freeswitch": FreeSwitchSection,
        "asterisk": AsteriskSection,
    }
    inner: type[BaseModel] = next(
        (sections[part] for part in map(str, reversed(location[:-1])) if part in sections), Settings
    )
    return list(inner.model_fields)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"


def variable_names() -> list[str]:
    """Every environment variable that is read."""
    names = [CONFIG_VARIABLE]
    for name, field in Settings.model_fields.items():
        names.append(f"{PREFIX}{name.upper()}")
        for section in _sections_of(field.annotation):
            if name != "switch":
                names += [f"{PREFIX}{name.upper()}__{key.upper()}" for key in section.model_fields]
    return names


def _sections_of(annotation: Any) -> Iterator[type[Section]]:
    if get_origin(annotation) in (Union, UnionType, tuple, Annotated):
        for argument in get_args(annotation):
            yield from _sections_of(argument)
    elif isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = variable_names()
    for name in environment:
        if name.startswith(PREFIX) and name.upper() not in known:
            raise ConfigurationError(f"unknown environment variable {name}{_nearest(name, known)}")

"""The configuration: pbxbill.toml, overlaid by PBXBILL_... variables, typed and explained option by option.

Values are checked here once; what is wrong is said by option name, never with the value, which may be a
secret. docs/configuration.md is this module's text (configuration_reference.py).
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pbxbill.ami.settings import AsteriskSettings
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.esl.settings import FreeSwitchSettings
from pbxbill.notify.smtp import MailSettings, checked
from pbxbill.written_toml import TOMLDecodeError, read_toml

PREFIX = "PBXBILL_"
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
CONFIG_VARIABLE = "PBXBILL_CONFIG"
SYSTEM_CONFIG = Path("/etc/pbxbill/pbxbill.toml")
LOCAL_CONFIG = Path("pbxbill.toml")

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
SwitchName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

_FREESWITCH = {field.name: field.default for field in fields(FreeSwitchSettings)}
_ASTERISK = {field.name: field.default for field in fields(AsteriskSettings)}


def _like(defaults: Mapping[str, Any], name: str, description: str) -> Any:
    # The default stands once, with the adapter that knows why.
    default = defaults[name]
    return Field(default=... if default is MISSING else default, description=description)


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values stay out of error messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseSection(Section):
    """Where the money is kept."""

    url: SecretStr = Field(
        default=SecretStr("sqlite:///pbxbill.db"),
        description="sqlite:///FILE (relative to the configuration file) or postgresql://USER:PASSWORD@HOST/NAME",
    )


class RedisSection(Section):
    """Carries news between processes faster; never holds the only copy of anything."""

    url: SecretStr | None = Field(
        default=None,
        description="redis://:PASSWORD@HOST:6379/0; empty: news travels through the database",
    )


class LogSection(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important lines that are written"
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json: one object a line; console: for eyes; auto: console on a terminal"
    )


class MetricsSection(Section):
    """Prometheus metrics, served by every daemon process."""

    enabled: bool = Field(default=True, description="Whether daemons serve metrics")
    host: str = Field(default="127.0.0.1", description="Address to listen on; keep it off public networks")
    port: Port = Field(
        default=9464,
        description="Port of the first switch's daemon; the second [[switch]] has the next one, and so on",
    )


class MailSection(Section):
    """The mail server of the operator, and of resellers who have none of their own (`pbxbill mail set`)."""

    host: str = Field(default="", description="The mail server; empty: nothing is sent")
    port: Port = Field(default=587, description="Its port")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="starttls, tls (usually port 465), or none: on this machine only"
    )
    user: str = Field(default="", description="User name; empty: the server asks for none")
    password_file: str = Field(
        default="", description="File that holds the password, or $NAME of an environment variable"
    )
    sender: str = Field(default="", description="Address that messages come from")
    sender_name: str = Field(default="", description="Name beside it; empty: the issuer's")
    reply_to: str = Field(default="", description="Where answers go; empty: to the issuer's own address")


class FreeSwitchSection(Section):
    """A FreeSWITCH, steered through its event socket."""

    type: Literal["freeswitch"] = Field(description='"freeswitch"')
    name: SwitchName = Field(description="The switch's name in reservations and CDRs; never change it later")
    host: str = _like(_FREESWITCH, "host", "Where mod_event_socket listens")
    port: Port = _like(_FREESWITCH, "port", "Its port")
    password: SecretStr = Field(default=SecretStr(""), description="The event socket's password")
    password_file: Path | None = Field(
        default=None,
        description="File that holds the password, e.g. a systemd credential; instead of password",
    )
    outbound_host: str = _like(
        _FREESWITCH, "outbound_host", "Address on which the dialplan's socket application finds the daemon"
    )
    outbound_port: Port = _like(_FREESWITCH, "outbound_port", "Port of the same")
    sounds_dir: str = _like(
        _FREESWITCH, "sounds_dir", "Folder that holds LANG/DIALECT/VOICE; empty: tones are played"
    )
    cdr_dir: str = _like(
        _FREESWITCH,
        "cdr_dir",
        "Folder of mod_json_cdr's files or of cdr_csv's Master.csv; empty: nothing to reconcile with",
    )
    shadow: bool = _like(
        _FREESWITCH,
        "shadow",
        "Everything is charged and recorded, nobody is denied or cut; docs/shadow-mode.md",
    )
    connect_timeout_s: Seconds = _like(_FREESWITCH, "connect_timeout_s", "Longest wait for a connection")
    command_timeout_s: Seconds = _like(_FREESWITCH, "command_timeout_s", "Longest wait for a reply")
    authorize_timeout_s: Seconds = _like(
        _FREESWITCH,
        "authorize_timeout_s",
        "How long a call waits for the charging engine before the failure policy decides",
    )
    announce_timeout_s: Seconds = _like(
        _FREESWITCH, "announce_timeout_s", "The longest announcement before a call"
    )
    keepalive_s: Seconds = _like(_FREESWITCH, "keepalive_s", "How often an idle connection is tried")
    stall_timeout_s: Seconds = _like(
        _FREESWITCH,
        "stall_timeout_s",
        "A full event queue that does not move for so long closes the connection",
    )
    retry_first_s: Seconds = _like(_FREESWITCH, "retry_first_s", "First wait before connecting again")
    retry_most_s: Seconds = _like(_FREESWITCH, "retry_most_s", "Longest wait before connecting again")
    max_sessions: Count = _like(
        _FREESWITCH, "max_sessions", "Calls that may be in authorization or announcement at once"
    )
    event_queue: Count = _like(_FREESWITCH, "event_queue", "Events that may wait to be handled")
    max_setup_s: Seconds = _like(
        _FREESWITCH, "max_setup_s", "An authorized call that shows no channel for so long is voided"
    )


class AsteriskSection(Section):
    """An Asterisk, steered through AMI and FastAGI."""

    type: Literal["asterisk"] = Field(description='"asterisk"')
    name: SwitchName = Field(description="The switch's name in reservations and CDRs; never change it later")
    host: str = _like(_ASTERISK, "host", "Where the manager interface (AMI) listens")
    port: Port = _like(_ASTERISK, "port", "Its port")
    username: str = _like(_ASTERISK, "username", "The manager user")
    secret: SecretStr = Field(default=SecretStr(""), description="The manager user's secret")
    secret_file: Path | None = Field(
        default=None, description="File that holds the secret, e.g. a systemd credential; instead of secret"
    )
    agi_host: str = _like(_ASTERISK, "agi_host", "Address on which the dialplan's AGI finds the daemon")
    agi_port: Port = _like(_ASTERISK, "agi_port", "Port of the same")
    cdr_file: Path | None = _like(
        _ASTERISK,
        "cdr_file",
        "The file that our cdr_custom mapping writes; empty: nothing to reconcile with",
    )
    sounds_dir: Path | None = _like(
        _ASTERISK, "sounds_dir", "Folder that holds a folder per language, looked through for words"
    )
    prompt_prefix: str = _like(
        _ASTERISK, "prompt_prefix", "Folder inside sounds/LANGUAGE for words that Asterisk's own sets lack"
    )
    action_timeout_s: Seconds = _like(_ASTERISK, "action_timeout_s", "Longest wait for an action's answer")
    ping_interval_s: Seconds = _like(_ASTERISK, "ping_interval_s", "How often Asterisk is pinged")
    ping_timeout_s: Seconds = _like(
        _ASTERISK, "ping_timeout_s", "A ping without an answer for so long closes the connection"
    )
    shadow: bool = _like(
        _ASTERISK,
        "shadow",
        "Everything is charged and recorded, nobody is denied or cut; docs/shadow-mode.md",
    )
    connect_timeout_s: Seconds = _like(_ASTERISK, "connect_timeout_s", "Longest wait for a connection")
    reconnect_first_s: Seconds = _like(_ASTERISK, "reconnect_first_s", "First wait before connecting again")
    reconnect_most_s: Seconds = _like(_ASTERISK, "reconnect_most_s", "Longest wait before connecting again")
    refused_retry_s: Seconds = _like(
        _ASTERISK,
        "refused_retry_s",
        "Wait after Asterisk refused the secret: somebody must change a file first",
    )
    event_queue: Count = _like(_ASTERISK, "event_queue", "Events that may wait to be handled")
    authorize_timeout_s: Seconds = _like(
        _ASTERISK,
        "authorize_timeout_s",
        "How long a call waits for the charging engine; the dialplan gives up after 5 s, so less than that",
    )
    engine_timeout_s: Seconds = _like(
        _ASTERISK, "engine_timeout_s", "How long other commands wait for the charging engine"
    )
    agi_connections: Count = _like(
        _ASTERISK, "agi_connections", "FastAGI connections that may be open at once"
    )
    agi_read_timeout_s: Seconds = _like(
        _ASTERISK, "agi_read_timeout_s", "A FastAGI connection that is silent for so long is closed"
    )
    offline_ceiling_us: Annotated[int, Field(ge=1)] = _like(
        _ASTERISK, "offline_ceiling_us", "Longest call that passed unauthorized, microseconds"
    )
    sweep_interval_s: Seconds = _like(
        _ASTERISK,
        "sweep_interval_s",
        "How often the switch's channels are compared with the calls we know, for events that never came",
    )
    cdr_interval_s: Seconds = _like(_ASTERISK, "cdr_interval_s", "How often the CDR log is read")
    cdr_backlog_bytes: Annotated[int, Field(ge=4096)] = _like(
        _ASTERISK, "cdr_backlog_bytes", "How much of an old CDR log is read at start"
    )


SwitchSection = FreeSwitchSection | AsteriskSection


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
    mail: MailSection = MailSection()
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

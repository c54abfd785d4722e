"""The sections of the configuration: what each option is, within which bounds, and what it means."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from pbxbill.ami.settings import AsteriskSettings
from pbxbill.esl.settings import FreeSwitchSettings

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
        description="Port of the first switch's daemon; further switches, jobs and web have the next ones",
    )


class JobsSection(Section):
    """What happens by itself: billing, renewals, dunning, messages ... (`pbxbill jobs list`)."""

    enabled: bool = Field(default=True, description="Whether `pbxbill run` runs the jobs as well")


class WebSection(Section):
    """The web process: panel, portals, API, webhooks of payment gateways. A proxy in front of it does TLS."""

    enabled: bool = Field(default=False, description="Whether `pbxbill run` serves the web as well")
    host: str = Field(default="127.0.0.1", description="Address to listen on, where the proxy finds it")
    port: Port = Field(default=8440, description="Its port")
    public_url: Annotated[str, Field(pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$")] = Field(
        default="",
        description="Where it is reached from outside, e.g. https://bill.example.com, or "
        "https://example.com/billing: a path that the proxy may take off or leave",
    )
    threads: Annotated[int, Field(ge=1, le=64)] = Field(
        default=8, description="Requests that are worked on at once"
    )
    streams: Annotated[int, Field(ge=0, le=500)] = Field(
        default=50, description="Streams of events (balance, live calls) that may be open beside them"
    )
    connections: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=200, description="Connections that may be open at once"
    )
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=30, description="A connection on which nothing happens for so long is closed"
    )
    trusted_proxy: str = Field(
        default="127.0.0.1",
        description="Address of the proxy whose X-Forwarded-For says where requests come from; empty: none",
    )
    key_file: Path = Field(
        default=Path("pbxbill.key"),
        description="The key with which secrets in the database are sealed and cookies are signed; "
        "`pbxbill init` makes it beside the configuration. Keep a copy, not beside the database's",
    )
    idle_min: Annotated[int, Field(ge=1, le=1440)] = Field(
        default=30, description="Who does nothing for so long logs in again, minutes"
    )
    longest_h: Annotated[int, Field(ge=1, le=720)] = Field(
        default=12, description="Everybody logs in again after so many hours"
    )
    requests_per_min: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        default=600, description="How often one user or one address may ask; API keys have their own limits"
    )
    upload_mb: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=64, description="Largest file that somebody who is logged in may upload, megabytes"
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
    per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=0, description="Messages of one issuer that the server takes in a minute; 0: any number"
    )


class WebhooksSection(Section):
    """Where notices are posted to (`pbxbill webhooks add`)."""

    private_addresses: bool = Field(
        default=False,
        description="Whether the operator's endpoints, and nobody else's, may be on this machine or in its "
        "network, and without TLS",
    )


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

"""What an administrator writes into pbxbill.toml and the environment, and what he is told about mistakes."""

from dataclasses import fields
from pathlib import Path

import pytest

from pbxbill.ami.settings import AsteriskSettings
from pbxbill.cli.configuration_reference import reference
from pbxbill.errors import ConfigurationError
from pbxbill.esl.settings import FreeSwitchSettings
from pbxbill.sections import AsteriskSection, FreeSwitchSection
from pbxbill.settings import Settings, asterisk_settings, find_config, freeswitch_settings, load_settings

TWO_SWITCHES = """\
[database]
url = "postgresql://billing:db-secret@db.example/pbxbill"

[redis]
url = "redis://:redis-secret@cache.example:6379/0"

[[switch]]
type = "asterisk"
name = "pbx1"
secret = "ami-secret"
agi_port = 4600

[[switch]]
type = "freeswitch"
name = "fs1"
password = "esl-secret"
connect_timeout_s = 2.5
"""
SECRETS = ("db-secret", "redis-secret", "ami-secret", "esl-secret")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PBXBILL_CONFIG", raising=False)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pbxbill.toml"
    path.write_text(text)
    return path


def load(tmp_path: Path, text: str) -> Settings:
    return load_settings(written(tmp_path, text), {})


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def test_an_empty_file_gives_the_embedded_database_beside_it(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    assert settings.database_url == f"sqlite:///{tmp_path}/pbxbill.db"
    assert settings.redis_url is None
    assert settings.switch == ()
    assert settings.metrics.host == "127.0.0.1"


def test_switches_become_what_their_adapters_take(tmp_path: Path) -> None:
    settings = load(tmp_path, TWO_SWITCHES)
    asterisk, freeswitch = settings.switch
    assert isinstance(asterisk, AsteriskSection)
    assert isinstance(freeswitch, FreeSwitchSection)
    assert asterisk_settings(asterisk) == AsteriskSettings("pbx1", secret="ami-secret", agi_port=4600)
    assert freeswitch_settings(freeswitch) == FreeSwitchSettings(
        "fs1", password="esl-secret", connect_timeout_s=2.5
    )
    assert [settings.metrics_port(name) for name in ("pbx1", "fs1")] == [9464, 9465]


@pytest.mark.parametrize(
    "section,settings", [(AsteriskSection, AsteriskSettings), (FreeSwitchSection, FreeSwitchSettings)]
)
def test_every_option_of_an_adapter_can_be_configured(section, settings) -> None:
    own = {"type", "secret_file", "password_file"}
    assert set(section.model_fields) - own == {field.name for field in fields(settings)}


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBXBILL_DATABASE__URL", f"sqlite:///{tmp_path}/other.db")
    monkeypatch.setenv("PBXBILL_LOG__LEVEL", "debug")
    settings = load(tmp_path, '[log]\nlevel = "error"\nformat = "json"\n')
    assert settings.database_url == f"sqlite:///{tmp_path}/other.db"
    assert (settings.log.level, settings.log.format) == ("debug", "json")


def test_switches_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBXBILL_SWITCH", '[{"type": "asterisk", "name": "pbx9"}]')
    assert [switch.name for switch in load(tmp_path, TWO_SWITCHES).switch] == ["pbx9"]


def test_a_variable_that_holds_no_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBXBILL_SWITCH", "pbx9")
    assert "environment" in refusal(tmp_path, "")


@pytest.mark.parametrize(
    "text,told",
    [
        ("[databse]\nurl = 'x'", "unknown option databse; did you mean database?"),
        ("[database]\nulr = 'x'", "unknown option database.ulr; did you mean url?"),
        (
            "[[switch]]\ntype = 'asterisk'\nname = 'a'\nsecert = 'x'",
            "unknown option switch.0.secert; did you mean secret?",
        ),
        (
            "[[switch]]\ntype = 'freeswitch'\nname = 'a'\npasword = 'x'",
            "unknown option switch.0.pasword; did you mean password?",
        ),
        ("[metrics]\nzzz = 1", "known are enabled, host, port"),
        ("[[switch]]\ntype = 'asterisk'", "option switch.0.name is missing"),
        ("[[switch]]\nname = 'a'", 'type = "freeswitch" or type = "asterisk"'),
        ("[[switch]]\ntype = 'kamailio'\nname = 'a'", 'type = "freeswitch" or type = "asterisk"'),
        ("[metrics]\nport = 99999", "option metrics.port: "),
        ("[database]\nurl = 'mysql://x'", "database.url must start with sqlite:/// or postgresql://"),
        ("[database]\nurl = 'nonsense'", "write sqlite:///FILE"),
        ("[database]\nurl = 'sqlite://'", "names no file"),
        ("[redis]\nurl = 'http://x'", "redis.url"),
        ("[database", "is not TOML"),
        (
            "[[switch]]\ntype = 'asterisk'\nname = 'a'\n[[switch]]\ntype = 'freeswitch'\nname = 'a'",
            "two switches are named 'a'",
        ),
        ("[[switch]]\ntype = 'asterisk'\nname = 'a b'", "option switch.0.name: "),
        ("[[switch]]\ntype = 'asterisk'\nname = 'a'\naction_timeout_s = 0", "action_timeout_s"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, "[log]\nlevel = 'loud'\n[metrics]\nport = 0\n").splitlines()) == 2


def test_an_unknown_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PBXBILL_LOG_LEVEL; did you mean PBXBILL_LOG__LEVEL"):
        load_settings(written(tmp_path, ""), {"PBXBILL_LOG_LEVEL": "debug"})


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    settings = load(tmp_path, TWO_SWITCHES)
    adapters = [
        asterisk_settings(settings.switch[0]),  # type: ignore[arg-type]
        freeswitch_settings(settings.switch[1]),  # type: ignore[arg-type]
    ]
    shown = f"{settings!r} {settings} {settings.model_dump_json()} {adapters!r}"
    assert not [secret for secret in SECRETS if secret in shown]


def test_a_mistake_beside_a_secret_does_not_show_it(tmp_path: Path) -> None:
    told = refusal(tmp_path, TWO_SWITCHES + "\nsecret = 'esl-secret'\nport = 'esl-secret'\n")
    assert not [secret for secret in SECRETS if secret in told]


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "credential").write_text("from-file\n")
    text = f"[[switch]]\ntype = 'asterisk'\nname = 'a'\nsecret_file = '{tmp_path}/credential'"
    section = load(tmp_path, text).switch[0]
    assert isinstance(section, AsteriskSection)
    assert asterisk_settings(section).secret == "from-file"
    (tmp_path / "credential").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        asterisk_settings(section)


def test_the_file_that_counts(tmp_path: Path) -> None:
    assert find_config(None, {}) is None or find_config(None, {}) == Path("/etc/pbxbill/pbxbill.toml")
    local = written(tmp_path, "")
    assert find_config(None, {}) == Path("pbxbill.toml")
    other = tmp_path / "other.toml"
    other.touch()
    assert find_config(None, {"PBXBILL_CONFIG": str(other)}) == other
    assert find_config(local, {"PBXBILL_CONFIG": str(other)}) == local
    with pytest.raises(ConfigurationError, match="no configuration file"):
        find_config(tmp_path / "missing.toml", {})


def test_the_reference_is_what_the_program_reads() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "configuration.md"
    assert page.read_text() == reference(), "pbxbill config --reference > docs/configuration.md"

"""`pbxbill install`: what it adds to a switch's configuration, and what it leaves alone."""

import os
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pbxbill.cli import cli
from pbxbill.cli.planned_files import (
    general_settings,
    shipped_files,
    with_include,
    with_modules,
    with_settings,
)
from pbxbill.sections import AsteriskSection
from pbxbill.settings import asterisk_settings, load_settings

Install = Callable[..., Result]

README = Path(__file__).parents[2] / "README.md"

CONFIG = """\
[[switch]]
type = "asterisk"
name = "pbx1"
secret = "ami;secret"
agi_port = 4600

[[switch]]
type = "freeswitch"
name = "fs1"
password = "esl<secret>"
outbound_port = 8090
cdr_dir = "/srv/cdr"
"""
EXTENSIONS = "[general]\nstatic = yes\n\n[phones]\nexten => 100,1,Hangup()\n"
MODULES = """\
<configuration name="modules.conf">
  <modules>
    <load module="mod_event_socket"/>
    <!-- <load module="mod_json_cdr"/> -->
  </modules>
</configuration>
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


@pytest.fixture
def install(tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pbxbill.toml").write_text(CONFIG)

    def run(switch: str, *words: str) -> Result:
        return CliRunner().invoke(cli, ["install", switch, "--etc", str(etc), *words])

    return run


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_written_before_yes(install: Install, etc: Path) -> None:
    (etc / "extensions.conf").write_text(EXTENSIONS)
    before = contents(etc)
    result = install("asterisk")
    assert result.exit_code == 0
    assert '+#include "extensions_pbxbill.conf"' in result.stdout
    assert "ami;secret" not in result.output
    assert contents(etc) == before


def test_asterisk_gets_what_it_needs_once(install: Install, etc: Path) -> None:
    (etc / "extensions.conf").write_text(EXTENSIONS)
    (etc / "manager.conf").write_text("[general]\nenabled = no\n")
    result = install("asterisk", "--yes")
    assert result.exit_code == 0, result.output
    assert "PBXBILL_AGI = agi://127.0.0.1:4600" in result.stdout
    written = contents(etc)
    assert written["extensions.conf"] == f'{EXTENSIONS}\n#include "extensions_pbxbill.conf"\n'
    assert written["manager.conf"].endswith("writetimeout = 5000\n")
    assert r"secret = ami\;secret" in written["manager.conf"]
    assert "[general](+)\nenabled = yes" in written["manager.conf"]
    assert "unanswered = yes" in written["cdr.conf"]
    assert (
        written["extensions_pbxbill.conf"]
        == (shipped_files("dialplan") / "extensions_pbxbill.conf").read_text()
    )
    assert [text for name, text in written.items() if name.startswith("extensions.conf.pbxbill-")] == [
        EXTENSIONS
    ]
    assert install("asterisk", "--yes").stdout == "nothing to change\n"
    assert contents(etc) == written


def test_a_file_of_ours_that_was_changed_is_kept(install: Install, etc: Path) -> None:
    install("asterisk", "--yes")
    path = etc / "extensions_pbxbill.conf"
    path.write_text("; mine now\n")
    result = install("asterisk", "--yes")
    assert result.exit_code == 1
    assert "extensions_pbxbill.conf differs from ours and stays as it is" in result.stderr
    assert path.read_text() == "; mine now\n"
    assert install("asterisk", "--yes", "--replace", "extensions_pbxbill.conf").exit_code == 0
    assert path.read_text() != "; mine now\n"
    assert "; mine now\n" in contents(etc).values()


def test_an_older_file_of_ours_is_brought_up_to_date(
    install: Install, etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(shipped_files("dialplan"), newer)
    install("asterisk", "--yes")
    with (newer / "extensions_pbxbill.conf").open("a") as stream:
        stream.write("; a newer line\n")
    monkeypatch.setattr("pbxbill.cli.planned_files.shipped_files", lambda folder: newer)
    result = install("asterisk", "--yes")
    assert result.exit_code == 0
    assert (etc / "extensions_pbxbill.conf").read_text().endswith("; a newer line\n")


def test_without_a_secret_one_is_made_and_never_shown(install: Install, etc: Path, tmp_path: Path) -> None:
    (tmp_path / "pbxbill.toml").write_text("")
    result = install("asterisk", "--yes")
    assert result.exit_code == 0, result.output
    secret = (etc / "pbxbill.secret").read_text().strip()
    assert len(secret) >= 32
    assert secret not in result.output
    assert f'secret_file = "{etc}/pbxbill.secret"' in result.stdout
    assert f"secret = {secret}\n" in (etc / "manager.conf").read_text()
    assert (etc / "pbxbill.secret").stat().st_mode & 0o777 == 0o640
    assert install("asterisk", "--yes").stdout == "nothing to change\n"


@pytest.mark.parametrize("place", ["etc/pbxbill.secret", "elsewhere/pbx1.secret"])
def test_a_secret_file_that_is_missing_is_made_where_the_configuration_wants_it(
    install: Install, etc: Path, tmp_path: Path, place: str
) -> None:
    config = tmp_path / "pbxbill.toml"
    config.write_text(f'[[switch]]\ntype = "asterisk"\nname = "pbx1"\nsecret_file = "{tmp_path / place}"\n')
    shown = install("asterisk")
    assert shown.exit_code == 0, shown.output
    assert Path(place).name in shown.stdout
    assert "\n+********\n" in shown.stdout
    assert not (tmp_path / place).exists()
    result = install("asterisk", "--yes")
    assert result.exit_code == 0, result.output
    (section,) = load_settings(config).switches()
    assert isinstance(section, AsteriskSection)
    secret = asterisk_settings(section).secret
    assert f"secret = {secret}\n" in (etc / "manager.conf").read_text()
    assert secret not in result.output
    assert (tmp_path / place).stat().st_mode & 0o777 == 0o640
    assert install("asterisk", "--yes").stdout == "nothing to change\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_secret_is_for_the_group_of_the_switch(install: Install, etc: Path, tmp_path: Path) -> None:
    (tmp_path / "pbxbill.toml").write_text("")
    os.chown(etc, 1234, 2345)
    install("asterisk", "--yes")
    status = (etc / "pbxbill.secret").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1234, 2345, 0o640)


def test_a_manager_user_that_was_there_keeps_its_secret(install: Install, etc: Path, tmp_path: Path) -> None:
    (tmp_path / "pbxbill.toml").write_text("")
    (etc / "manager.conf").write_text("[general]\n[pbxbill]\nsecret = theirs\n")
    result = install("asterisk", "--yes")
    assert (
        f"[pbxbill] of manager.conf has a secret of yours: write it into {etc}/pbxbill.secret"
        in result.stderr
    )
    assert "pbxbill.secret" not in result.stdout
    assert not (etc / "pbxbill.secret").exists()


def test_the_manager_interface_is_for_this_machine(install: Install, etc: Path) -> None:
    manager = etc / "manager.conf"
    install("asterisk", "--yes")
    assert general_settings(manager.read_text()) == {"enabled": "yes", "bindaddr": "127.0.0.1"}
    manager.write_text("[general]\nenabled = yes\n")
    assert "no longer open to other machines" in install("asterisk", "--yes").stdout
    assert general_settings(manager.read_text())["bindaddr"] == "127.0.0.1"


def test_a_manager_interface_that_is_open_is_told_each_time(install: Install, etc: Path) -> None:
    (etc / "manager.conf").write_text("[general]\nbindaddr = 0.0.0.0\n")
    for _ in range(2):
        assert "WARNING: manager.conf: bindaddr = 0.0.0.0 opens" in install("asterisk", "--yes").stderr
    assert general_settings((etc / "manager.conf").read_text())["bindaddr"] == "0.0.0.0"


def test_channelvars_of_others_stay_beside_ours(install: Install, etc: Path) -> None:
    (etc / "manager.conf").write_text("[general]\nchannelvars = QUEUE,PBXBILL_CALL\n")
    install("asterisk", "--yes")
    # Our include stands above it, and to Asterisk the last line counts (tests/switch/ami).
    tail = (etc / "manager.conf").read_text().partition('#include "manager_pbxbill.conf"')[2]
    together = general_settings(tail)["channelvars"].split(",")
    ours = general_settings((etc / "manager_pbxbill.conf").read_text())["channelvars"].split(",")
    assert (together[0], sorted(together)) == ("QUEUE", sorted(["QUEUE", *ours]))
    assert install("asterisk", "--yes").stdout == "nothing to change\n"


def test_folders_are_named_in_full(etc: Path, install: Install) -> None:
    result = CliRunner().invoke(cli, ["install", "asterisk", "--etc", "etc"])
    assert f"files in {etc}\n" in result.stdout


def test_the_readme_can_be_followed_to_the_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = README.read_text()
    toml = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert toml is not None
    commands = re.findall(
        r"pbxbill (?:init|install asterisk|(?:rates|tariffs|accounts|topup|verify)\b.*?)(?=\s{2,}|`|$)",
        text,
        re.MULTILINE,
    )
    assert [command.split()[1] for command in commands] == [
        *("init", "install", "rates", "tariffs", "accounts", "topup", "verify")
    ]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rates.csv").write_text("prefix,destination,price_per_min\n49,Germany,0.12\n")
    etc = tmp_path / "etc" / "asterisk"
    etc.mkdir(parents=True)
    for command in commands:
        words = command.split()[1:]
        runs = (
            [[*words, "--etc", str(etc)], [*words, "--etc", str(etc), "--yes"]]
            if "install" in words
            else [words]
        )
        for run in runs:
            result = CliRunner().invoke(cli, run, input="y\n")
            assert result.exit_code == 0, (run, result.output)
        if words == ["init"]:
            with (tmp_path / "pbxbill.toml").open("a") as config:
                config.write(toml[1].replace("/etc/", f"{tmp_path}/etc/"))
    (section,) = load_settings(tmp_path / "pbxbill.toml").switches()
    assert isinstance(section, AsteriskSection)
    assert f"secret = {asterisk_settings(section).secret}\n" in (etc / "manager.conf").read_text()


def test_freeswitch_gets_our_tree(install: Install, etc: Path) -> None:
    (etc / "autoload_configs").mkdir()
    (etc / "autoload_configs" / "modules.conf.xml").write_text(MODULES)
    result = install("freeswitch", "--yes")
    assert result.exit_code == 0, result.output
    assert "esl<secret>" not in result.output
    assert "esl&lt;secret&gt;" not in result.output
    written = contents(etc)
    for name, text in written.items():
        if name.endswith(".xml"):
            ET.fromstring(text)  # our own file
    assert "esl&lt;secret&gt;" in written["autoload_configs/event_socket.conf.xml"]
    assert "127.0.0.1:8090 async full" in written["dialplan/default/00_pbxbill_outbound.xml"]
    assert 'value="/srv/cdr"' in written["autoload_configs/json_cdr.conf.xml"]
    assert written["autoload_configs/modules.conf.xml"].count("<load") == 3  # one of them in a comment
    assert "README.md" not in written
    assert install("freeswitch", "--yes").stdout == "nothing to change\n"


def test_the_administrators_event_socket_stays(install: Install, etc: Path) -> None:
    (etc / "autoload_configs").mkdir()
    own = etc / "autoload_configs" / "event_socket.conf.xml"
    own.write_text("<configuration/>")
    result = install("freeswitch", "--yes")
    assert result.exit_code == 1
    assert own.read_text() == "<configuration/>"
    assert "stays yours" in result.stdout


def test_a_secret_that_was_not_written_is_not_reported(install: Install, etc: Path, tmp_path: Path) -> None:
    (tmp_path / "pbxbill.toml").write_text("")
    (etc / "autoload_configs").mkdir()
    (etc / "autoload_configs" / "event_socket.conf.xml").write_text("<configuration/>")
    result = install("freeswitch", "--yes")
    assert not (etc / "pbxbill.secret").exists()
    assert "pbxbill.secret" not in result.stdout
    assert f"has a secret of yours: write it into {etc}/pbxbill.secret" in result.stderr


def test_freeswitchs_password_file_is_made_too(install: Install, etc: Path, tmp_path: Path) -> None:
    path = etc / "esl.password"
    (tmp_path / "pbxbill.toml").write_text(
        f'[[switch]]\ntype = "freeswitch"\nname = "fs1"\npassword_file = "{path}"\n'
    )
    result = install("freeswitch", "--yes")
    assert result.exit_code == 0, result.output
    assert f'password_file = "{path}"' in result.stdout
    socket = (etc / "autoload_configs" / "event_socket.conf.xml").read_text()
    assert f'value="{path.read_text().strip()}"' in socket


def test_a_folder_that_is_not_there(install: Install, etc: Path) -> None:
    etc.rmdir()
    result = install("asterisk")
    assert (result.exit_code, "is no folder" in result.stderr) == (2, True)


def test_additions_are_not_made_twice() -> None:
    assert with_include('#include "a/b/x.conf"\n', "x.conf") == '#include "a/b/x.conf"\n'
    assert with_include("", "x.conf") == '#include "x.conf"\n'
    assert with_include(";#include x.conf", "x.conf") == ';#include x.conf\n\n#include "x.conf"\n'
    kept = "[general]\nenable=yes ; for us\n[other]\nenable = no\n"
    assert with_settings(kept, {"enable": "yes"}) == kept
    changed = with_settings("[general]\nenable = no\n", {"enable": "yes"})
    assert changed == "[general]\nenable = no\n\n[general](+)\nenable = yes ; pbxbill\n"
    assert with_settings(changed, {"enable": "yes"}) == changed
    assert with_modules("<nothing/>") == "<nothing/>"

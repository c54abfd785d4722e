"""`pbxbill install`: what it adds to a switch's configuration, and what it leaves alone."""

import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pbxbill.cli import cli
from pbxbill.cli.planned_files import shipped_files, with_include, with_modules, with_settings

Install = Callable[..., Result]

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
    assert (etc / "pbxbill.secret").stat().st_mode & 0o077 == 0
    assert install("asterisk", "--yes").stdout == "nothing to change\n"


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

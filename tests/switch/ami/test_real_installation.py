"""What Asterisk makes of the configuration that `pbxbill install asterisk` leaves."""

from pathlib import Path

from click.testing import CliRunner

from lab.asterisk import PrivateAsterisk
from lab.ports import free_port
from pbxbill.cli import cli

ADMINISTRATORS = "[general]\nenabled = no\nport = @PORT@\nchannelvars = QUEUE\n"


def test_the_manager_interface_is_private_and_names_everybodys_variables(
    asterisk_install: Path, tmp_path: Path
) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "manager.conf").write_text(ADMINISTRATORS.replace("@PORT@", str(free_port())))
    (tmp_path / "pbxbill.toml").write_text("")
    words = ["--config", str(tmp_path / "pbxbill.toml"), "install", "asterisk", "--etc", str(etc), "--yes"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    files = {path.name: path.read_text() for path in etc.glob("manager*.conf")}
    with PrivateAsterisk(phones=[], install=asterisk_install, files=files) as asterisk:
        lines = asterisk.rx("manager show settings").splitlines()
        told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        assert told["Manager (AMI)"] == "Yes"
        assert told["TCP Bindaddress"].startswith("127.0.0.1:")
        assert told["Timestamp events"] == "Yes"
        assert told["Channel vars"].startswith("QUEUE,PBXBILL_SESSION,PBXBILL_CALL,PBXBILL_PAID")
        assert "pbxbill" in asterisk.rx("manager show users")

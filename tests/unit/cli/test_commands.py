"""Every command is found, by the module that has it; what a command does not need is not imported."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from pbxbill.cli import COMMANDS_OF, cli

FOLDER = Path(str(import_module("pbxbill.cli").__file__)).parent


@pytest.mark.parametrize("name", sorted(COMMANDS_OF))
def test_a_modules_commands_are_those_that_are_said(name: str) -> None:
    module = import_module(f"pbxbill.cli.{name}")
    assert sorted(x.name for x in module.COMMANDS) == sorted(COMMANDS_OF[name].split())


def test_no_module_with_commands_is_left_out() -> None:
    found = {path.stem for path in FOLDER.glob("*.py") if "\nCOMMANDS = " in path.read_text()}
    told = set(COMMANDS_OF) | {"subscriptions", "dunning_policies"}  # other modules have their groups
    assert found == told


def test_no_command_is_said_twice() -> None:
    names = " ".join(COMMANDS_OF.values()).split()
    assert sorted(names) == sorted(set(names)) == cli.list_commands(None)  # type: ignore[arg-type]


def test_a_small_command_imports_little() -> None:
    code = "import sys; sys.argv = ['pbxbill', 'version']\nfrom pbxbill.cli import cli\n"
    code += "cli(standalone_mode=False)\nprint('pbxbill.billing.invoices.issuing' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout.splitlines()[-1] == "False"


def test_a_typing_error_is_told_what_it_may_have_meant() -> None:
    told = CliRunner().invoke(cli, ["tarifs"])
    assert told.exit_code == 2
    assert "Did you mean tariffs" in told.output

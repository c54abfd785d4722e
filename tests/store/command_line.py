"""What the fixtures `ok` and `pbxbill` of conftest.py are, and what else is made of commands."""

import json
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from pbxbill.access.sealing import make_key_file
from pbxbill.cli import cli
from tests.database_contents import Contents

Ok = Callable[..., str]
"""Runs a command that must succeed; what it printed."""
Run = Callable[..., Result]
"""Runs a command; how it went."""


def shown(ok: Ok, *words: object) -> Any:
    """What a command says with --json."""
    return json.loads(ok(*words, "--json"))


def runs(url: str, folder: Path) -> Run:
    """Runs commands on a database, configured in a folder, in which who calls it works."""
    config = folder / "pbxbill.toml"
    config.write_text(f'[database]\nurl = "{url}"\n[metrics]\nenabled = false\n')
    make_key_file(folder / "pbxbill.key")  # databases that are copied were set up elsewhere
    runner = CliRunner()

    def run(*words: object) -> Result:
        return runner.invoke(cli, ["--config", str(config), *map(str, words)])

    return run


def must(run: Run) -> Ok:
    """Runs commands that must succeed."""

    def ok(*words: object) -> str:
        result = run(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    return ok


def by_commands(name: str, opened: Callable[[Ok], object]) -> Contents:
    """What commands leave in a database. A module names it in BEGUN, by the fixture that asks for it."""

    def fill(url: str) -> None:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            opened(must(runs(url, Path(folder))))

    return Contents(f"commands_{name}", fill)

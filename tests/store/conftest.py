from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from pbxbill.cli import cli


@pytest.fixture(autouse=True, scope="session")
def _plain_log() -> None:
    """Tracebacks of meant faults as text: drawing them takes longer than the tests."""
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])


@pytest.fixture
def pbxbill(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command on a database of its own."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "pbxbill.toml"
    config.write_text(f'[database]\nurl = "{database_url}"\n[metrics]\nenabled = false\n')
    runner = CliRunner()

    def run(*words: object) -> Result:
        return runner.invoke(cli, ["--config", str(config), *map(str, words)])

    return run


@pytest.fixture
def ok(pbxbill: Callable[..., Result]) -> Callable[..., str]:
    """Runs a command that must succeed; what it printed."""

    def run(*words: object) -> str:
        result = pbxbill(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run

"""What the dependency audit makes of what PyPI says, and of its silence."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lab import audit

WEAK = {
    "name": "old", "version": "1.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["1.2", "1.1"]}]
}  # fmt: skip
FINE = {"name": "fine", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "ours", "skip_reason": "not found on PyPI"}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What PyPI tells, to be filled; asked for once."""
    told: list[dict[str, Any]] = []

    def run(*_command: object, **_how: object) -> CompletedProcess[str]:
        return CompletedProcess([], 0, json.dumps({"dependencies": told}), "")

    monkeypatch.setattr(audit, "KEPT", tmp_path / "audit.json")
    monkeypatch.setattr(audit, "_answers", lambda: True)
    monkeypatch.setattr("lab.audit.subprocess.run", run)
    return told


def test_a_known_weakness_fails_and_is_remembered(
    told: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    told += [WEAK, FINE]
    assert audit.main() == 1
    assert "old 1.0 has a known weakness: CVE-2026-1; mended in 1.1, 1.2" in capsys.readouterr().err
    told.clear()
    assert audit.main() == 1


def test_nothing_known_is_well(told: list[dict[str, Any]]) -> None:
    told += [FINE] * 20 + [UNKNOWN]
    assert audit.main() == 0
    assert audit.KEPT.exists()


@pytest.mark.parametrize("answers", [True, False])
def test_silence_fails_nothing_and_is_said(
    told: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answers: bool,
) -> None:
    told += [UNKNOWN, FINE]
    monkeypatch.setattr(audit, "_answers", lambda: answers)
    assert audit.main() == 0
    assert "not done" in capsys.readouterr().out
    assert not audit.KEPT.exists()

"""No secret reaches a log line, wherever it hides."""

import json
import logging

import pytest
import structlog

from pbxbill.logs import configure_logs, hide_secrets


def test_secrets_are_masked_at_any_depth() -> None:
    event = {
        "event": "cannot connect to postgresql://billing:hunter2@db/pbxbill",
        "password": "hunter2",
        "settings": {"ami_secret": "hunter2", "urls": ["redis://:hunter2@cache:6379/0"]},
        "call": "0049301234",
    }
    shown = hide_secrets(None, "info", event)
    assert "hunter2" not in str(shown)
    assert shown["call"] == "0049301234"


@pytest.fixture
def _restored_structlog():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.usefixtures("_restored_structlog")
def test_json_lines_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json", "ami")
    structlog.get_logger().info("call_denied", account="alice", secret="hunter2")
    structlog.get_logger().debug("unimportant")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["account"], told["process"], told["secret"]) == (
        "call_denied",
        "alice",
        "ami",
        "***",
    )

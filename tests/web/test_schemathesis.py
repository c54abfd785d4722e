"""Asks the API what nobody thought of, from its own document: never a 500, never an undocumented answer."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

from pbxbill.web.serving import ServingSettings, WebServer
from tests.web.programs import BASE, installation

EXAMPLES = 8
"""Of each operation; the edges of every parameter come on top."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
    "use_after_free",
)


@contextmanager
def served(app: Flask) -> Iterator[int]:
    """Served as it is in production; the port."""
    server = WebServer(app, ServingSettings("127.0.0.1", 0, 4, 50, 60))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.port
    finally:
        server.stop()
        thread.join(10)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_answer_is_undocumented(sqlite_url: str, tmp_path: Path) -> None:
    with installation(sqlite_url) as installed:
        # The streams are left out: they end after minutes.
        key = installed.program(per_minute=60_000).key
        with served(installed.app) as port:
            asked = [sys.executable, "-m", "schemathesis.cli", "run"]
            options = [
                *("--header", f"Authorization: Bearer {key}"),
                *("--checks", ",".join(CHECKS)),
                *("--exclude-path-regex", "/stream$"),
                *("--phases", "examples,coverage,fuzzing"),
                *("--max-examples", str(EXAMPLES)),
                *("--seed", "1"),
                "--generation-deterministic",
                "--no-color",
            ]
            address = f"http://127.0.0.1:{port}{BASE}/openapi.json"
            done = subprocess.run(
                [*asked, *options, address],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
        assert "No issues found" in done.stdout

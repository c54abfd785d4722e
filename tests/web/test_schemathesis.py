"""Asks the API what nobody thought of, from its own document: never a 500, never an undocumented answer."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

from pbxbill.access.permissions import Role
from pbxbill.web.serving import ServingSettings, WebServer
from tests.store.billed_accounts import talk_to_germany_and_france
from tests.web.programs import BASE, installation

EXAMPLES = 4
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
    """Served as it is in production, the document being made already; the port."""
    app.test_client().get(f"{BASE}/openapi.json")
    server = WebServer(app, ServingSettings("127.0.0.1", 0, 4, 50, 60, upload_bytes=8_000_000))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.port
    finally:
        server.stop()
        thread.join(10)


def asked(folder: Path, port: int, key: str, *options: str) -> subprocess.CompletedProcess[str]:
    """One run over the document's operations. The streams are left out: they end after minutes."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            *("--header", f"Authorization: Bearer {key}"),
            *("--checks", ",".join(CHECKS)),
            *("--exclude-path-regex", "/stream$"),
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-examples", str(EXAMPLES)),
            *("--generation-deterministic", "--no-color"),
            *options,
            f"http://127.0.0.1:{port}{BASE}/openapi.json",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


PARTS = {
    "accounts": "/v1/accounts",
    "a-c": "/v1/(ag|al|ap|ac.+numbers|au|ba|bi|br|bu|c)",
    "d-i": "/v1/[d-i]",
    "j-q": "/v1/[j-q]",
    "r-z": "/v1/[r-z]",
}
"""Of the addresses, so that no part takes long."""


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", PARTS)
def test_no_answer_is_undocumented(sqlite_url: str, tmp_path: Path, part: str) -> None:
    with installation(sqlite_url) as installed, served(installed.app) as port:
        talk_to_germany_and_france(installed.accounts)
        session_id = installed.accounts.select("SELECT session_id FROM cdrs")[0][0]
        # Where examples find something, more than the refusal is tried.
        (tmp_path / "schemathesis.toml").write_text(
            f'[parameters]\n"path.session_id" = "{session_id}"\n"path.unit" = "EUR"\n"path.account_id" = 4\n'
        )
        key = installed.program(per_minute=60_000).key
        done = asked(tmp_path, port, key, "--include-path-regex", PARTS[part])
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
        selected = re.search(r"Selected: (\d+)", done.stdout)
        assert selected is not None
        assert f"Tested: {selected[1]}" in done.stdout


def test_every_operation_is_in_one_part(sqlite_url: str) -> None:
    with installation(sqlite_url) as installed:
        document = installed.app.test_client().get(f"{BASE}/openapi.json").json
        assert document is not None
    others = re.compile("/v1/(own|balance|me$|health)")
    for path in document["paths"]:
        parts = [name for name, pattern in PARTS.items() if re.search(pattern, path)]
        assert len(parts) == 1 or others.search(path), (path, parts)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_nor_is_what_an_accounts_own_program_gets(sqlite_url: str, tmp_path: Path) -> None:
    with installation(sqlite_url) as installed, served(installed.app) as port:
        talk_to_germany_and_france(installed.accounts)
        key = installed.program("alice", role=Role.CUSTOMER, per_minute=60_000).key
        done = asked(tmp_path, port, key, "--include-path-regex", "/(own|balance|me|health|webhooks)")
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]

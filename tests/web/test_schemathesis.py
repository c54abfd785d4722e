"""Asks the API what nobody thought of, from its own document: never a 500, never an undocumented answer."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
from flask import Flask

from pbxbill.access.permissions import Role
from pbxbill.web.serving import ServingSettings, WebServer
from tests.store.billed_accounts import talk_to_germany_and_france
from tests.web.programs import BASE, OPERATOR, Installation, installation
from tests.web.routes import routes_of

EXAMPLES = 4
"""Of each operation; the edges of its parameters come on top, unless others have them (fewer_cases.py)."""
FEWER = Path(__file__).with_name("fewer_cases.py")
ABOUT_ITSELF = (f"{BASE}/openapi.json", f"{BASE}/docs")
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
            *("--request-timeout", "60"),
            *("--generation-deterministic", "--no-color"),
            *options,
            f"http://127.0.0.1:{port}{BASE}/openapi.json",
        ],
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(FEWER)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def prepared(installed: Installation, folder: Path, code: str, role: Role) -> str:
    """A key to ask with. Where examples find something, more than the refusal is tried; what is asked to be
    revoked is another key."""
    talk_to_germany_and_france(installed.accounts)
    session_id = installed.accounts.select("SELECT session_id FROM cdrs")[0][0]
    installed.program(code, role=role, name="revoked")
    (revoked,) = installed.accounts.select("SELECT id FROM api_keys")[0]
    (folder / "schemathesis.toml").write_text(
        f'[parameters]\n"path.session_id" = "{session_id}"\n"path.unit" = "EUR"\n"path.account_id" = 4\n'
        f'"path.key_id" = {revoked}\n'
    )
    return installed.program(code, role=role, per_minute=60_000).key


PARTS = {
    "accounts": "/v1/accounts",
    "a-c": "/v1/(account-api|ag|al|ap|ac.+numbers|au|ba|bi|br|bu|c)",
    "d-i": "/v1/[d-i]",
    "j-q": "/v1/[j-q]",
    "r-z": "/v1/[r-z]",
}
"""Of the addresses, so that no part takes long."""


@pytest.fixture
def nothing_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are begun and bill nobody: by a clock that stands still they never share SQLite with others."""
    runs = import_module("pbxbill.web.api.billing_runs")
    monkeypatch.setattr(runs, "work_on", lambda *_asked, **_named: None)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("nothing_billed")
@pytest.mark.parametrize("part", PARTS)
def test_no_answer_is_undocumented(sqlite_url: str, tmp_path: Path, part: str) -> None:
    with installation(sqlite_url) as installed, served(installed.app) as port:
        key = prepared(installed, tmp_path, OPERATOR, Role.ADMIN)
        done = asked(tmp_path, port, key, "--include-path-regex", PARTS[part])
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
        selected = re.search(r"Selected: (\d+)", done.stdout)
        assert selected is not None
        assert f"Tested: {selected[1]}" in done.stdout
        if part == "a-c":  # keys are revoked in it
            assert "401 Unauthorized" not in done.stdout, "this key was in force until the end"


def test_every_operation_is_in_one_part(sqlite_url: str) -> None:
    with installation(sqlite_url) as installed:
        document = installed.app.test_client().get(f"{BASE}/openapi.json").json
        assert document is not None
    others = re.compile("/v1/(own|balance|me$|health)")
    for path in document["paths"]:
        parts = [name for name, pattern in PARTS.items() if re.search(pattern, path)]
        assert len(parts) == 1 or others.search(path), (path, parts)


def test_every_method_of_an_address_is_in_the_document(sqlite_url: str) -> None:
    with installation(sqlite_url) as installed:
        document = installed.app.test_client().get(f"{BASE}/openapi.json").json
        routes = [x for x in routes_of(installed.app) if x.rule.startswith(f"{BASE}/")]
    assert document is not None
    answered = {(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", x.rule), x.method.lower()) for x in routes}
    told = {(path, method) for path, item in document["paths"].items() for method in item}
    assert {x for x in answered if not x[0].startswith(ABOUT_ITSELF)} == told


@pytest.mark.long
@pytest.mark.timeout(300)
def test_nor_is_what_an_accounts_own_program_gets(sqlite_url: str, tmp_path: Path) -> None:
    with installation(sqlite_url) as installed, served(installed.app) as port:
        key = prepared(installed, tmp_path, "alice", Role.CUSTOMER)
        done = asked(tmp_path, port, key, "--include-path-regex", "/(own|balance|me|health|webhooks)")
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]

"""`pbxbill doctor` on mail, payment gateways, the web and jobs."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.notice_models import JobRow, JobRunRow
from tests.store.command_line import Ok, Run

Findings = dict[str, dict[str, str]]


def findings(pbxbill: Run) -> tuple[int, Findings]:
    """The exit code, were the database durable: that of tests is not, on purpose."""
    result = pbxbill("doctor", "--json")
    found = {x["check"]: x for x in json.loads(result.stdout)}
    failed = {name for name, x in found.items() if x["verdict"] == "fail"}
    assert result.exit_code == int(bool(failed))
    return int(bool(failed - {"durability"})), found


def configure(tmp_path: Path, lines: str) -> None:
    with (tmp_path / "pbxbill.toml").open("a") as config:
        config.write(lines)


@pytest.fixture
def database(ok: Ok, database_url: str) -> Engine:
    ok("init")
    return open_engine(database_url)


def test_a_fresh_installation_gets_hints(ok: Ok, pbxbill: Run) -> None:
    ok("init")
    code, found = findings(pbxbill)
    assert code == 0
    assert found["mail"]["verdict"] == "warn"
    assert "no invoice and no notice is sent" in found["mail"]["detail"]
    assert (found["jobs"]["verdict"], "none ever ran" in found["jobs"]["detail"]) == ("warn", True)
    assert "web" not in found


def test_mail_and_web_that_are_set_up(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    ok("init")
    add_gateway(ok, tmp_path)
    _, found = findings(pbxbill)
    assert "public_url" in found["web"]["remedy"]
    configure(
        tmp_path,
        '[mail]\nhost = "mail.example.com"\nsender = "bills@example.com"\n'
        '[web]\nenabled = true\npublic_url = "https://bill.example.com"\n',
    )
    code, found = findings(pbxbill)
    assert (code, found["web"]["verdict"]) == (0, "ok")
    assert found["mail"]["detail"] == "goes through mail.example.com:587 as bills@example.com"


def add_gateway(ok: Ok, tmp_path: Path) -> Path:
    key, signing = tmp_path / "key", tmp_path / "signing"
    for file, secret in ((key, "sk_test_1234567890"), (signing, "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=")):
        file.write_text(secret)
        file.chmod(0o600)
    secrets = ("--set", f"secret_key_file={key}", "--set", f"webhook_secret_file={signing}")
    ok("payment-gateways", "add", "card", "stripe", *secrets)
    return key


def test_secrets_that_are_gone(ok: Ok, pbxbill: Run, tmp_path: Path) -> None:
    ok("init")
    key = add_gateway(ok, tmp_path)
    assert findings(pbxbill)[1]["gateway card"]["verdict"] == "ok"
    key.unlink()
    code, found = findings(pbxbill)
    assert (code, found["gateway card"]["verdict"]) == (1, "fail")
    assert str(key) in found["gateway card"]["detail"]
    ok("payment-gateways", "set", "card", "--disable")
    code, found = findings(pbxbill)
    assert (code, found["gateway card"]["verdict"]) == (0, "warn")


def test_jobs_that_are_overdue_or_failed(ok: Ok, pbxbill: Run, database: Engine) -> None:
    ok("jobs", "list")
    ok("jobs", "run", "quotes")
    with transaction(database) as session:
        session.execute(update(JobRow).values(next_us=9_000_000_000_000_000))
    assert findings(pbxbill)[1]["jobs"]["verdict"] == "ok"
    with transaction(database) as session:
        session.execute(update(JobRow).where(JobRow.name == "dunning").values(failures=2))
        session.add(
            JobRunRow(
                job="dunning", started_us=1, ended_us=2, outcome="failed", detail="no such level", holder=""
            )
        )
    assert "dunning at 1970-01-01" in findings(pbxbill)[1]["jobs"]["detail"]
    with transaction(database) as session:
        session.execute(update(JobRow).where(JobRow.name == "invoices").values(next_us=0))
    found = findings(pbxbill)[1]["jobs"]
    assert (found["verdict"], "1 are overdue, invoices since 1970" in found["detail"]) == ("warn", True)
    database.dispose()

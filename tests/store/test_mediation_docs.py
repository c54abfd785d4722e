"""The worked examples of docs/mediation.md: what they say is what comes out."""

import json
import re
from pathlib import Path

from sqlalchemy import update

from pbxbill.mediation.mapping import load_mapping
from pbxbill.mediation.record import Reason
from pbxbill.store.accounts import bump_catalogue
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import DeckVersionRow
from tests.small_operator import eur
from tests.store.billed_accounts import open_accounts
from tests.store.command_line import Ok, Run
from tests.store.mediated_calls import MasterLine, write_master
from tests.store.test_mediation_watch import SMS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "mediation.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_the_calls(database_url: str, pbxbill: Run, tmp_path: Path) -> None:
    open_accounts(database_url)
    rows = re.findall(r"^\| (\d) \| (\d+)[^|]* \| (\w+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 5
    lines = [
        MasterLine(int(n), account, answered_s=5 if int(s) else None, ended_s=5 + int(s))
        for n, s, account, _ in rows
    ]
    file = write_master(tmp_path / "Master.csv", *lines)
    result = pbxbill("mediate", file, "--format", "asterisk-csv", "--zone", "UTC", "--json")
    report = json.loads(result.stdout[result.stdout.index("{") :])
    counted = [f"{name} {report[name]}" for name in ("read", "rated", "unanswered", "quarantined")]
    money = [f"{x['account']} {x['total']}" for x in report["money"]]
    assert f"The report: {', '.join(counted)}; {', '.join(money)}." in PAGE
    assert report["reasons"] == {"account_unknown": 1}


def test_the_messages(database_url: str, ok: Ok, tmp_path: Path) -> None:
    accounts = open_accounts(database_url)
    accounts.top_up("bob", "1")
    (sheet,) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "sms.csv").write_text(sheet)
    commands = r"^pbxbill ((?:rates import|tariffs|services set|services list) ?.*)$"
    told = ""
    for line in re.findall(commands, PAGE, re.MULTILINE):
        told = ok(*line.replace("sms.csv", str(tmp_path / "sms.csv")).split())
    assert "texting" in told
    database = open_engine(database_url)
    with transaction(database) as session:  # as if they had been there when the messages were sent
        session.execute(update(DeckVersionRow).values(effective_from_us=0))
        bump_catalogue(session)
    database.dispose()
    (tmp_path / "sms.toml").write_text(SMS)
    event = {"id": 1, "user": "bob", "time": "2026-03-01T11:00:00Z", "to": "4930123456", "parts": 3}
    (tmp_path / "sms.jsonl").write_text(f"{json.dumps(event)}\n")
    ok("mediate", tmp_path / "sms.jsonl", "--format", tmp_path / "sms.toml")
    assert accounts.wallet("bob")[0] == eur("0.85")
    assert "3 messages costs bob 3 x 0.05 = 0.15" in PAGE


def test_the_meter(database_url: str, ok: Ok, tmp_path: Path) -> None:
    open_accounts(database_url).top_up("bob", "100")
    (tmp_path / "power.toml").write_text(BLOCKS[1])
    told = ""
    for line in re.findall(r"^pbxbill ((?:meters|readings) .*)$", PAGE, re.MULTILINE):
        told = ok(*line.replace("power.toml", str(tmp_path / "power.toml")).split())
    assert "120 kWh cost 38.08 EUR" in told
    assert "with 19 % tax 38.08" in PAGE


def test_the_mapping_is_one(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(BLOCKS[0])
    assert load_mapping(str(path)).name == "acme"


def test_every_reason_is_explained() -> None:
    assert [reason for reason in Reason if f"`{reason}`" not in PAGE] == []

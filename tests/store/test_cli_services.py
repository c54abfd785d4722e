"""pbxbill services: what an account uses beside its calls is rated by a tariff of its own."""

import json
from pathlib import Path

from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Run

SHEET = "prefix,destination,price_per_min\n*,Messages,0.05\n"


def test_a_service_gets_its_tariff_and_loses_it(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    sheet = tmp_path / "messages.csv"
    sheet.write_text(SHEET)
    words = ("--deck", "sms", "--unit", "EUR", "--measure", "messages", "--per", "1", "--yes")
    assert pbxbill("rates", "import", str(sheet), *words).exit_code == 0
    assert pbxbill("tariffs", "add", "texting", "--deck", "sms").exit_code == 0

    assert pbxbill("services", "set", "bob", "messages", "texting").exit_code == 0
    listed = json.loads(pbxbill("services", "list", "--json").output)
    assert listed == [{"account": "bob", "service": "messages", "tariff": "texting"}]

    assert pbxbill("services", "remove", "bob", "messages").exit_code == 0
    assert json.loads(pbxbill("services", "list", "--json").output) == []


def test_a_tariff_for_something_else_is_refused(
    accounts: BilledAccounts, pbxbill: Run, tmp_path: Path
) -> None:
    sheet = tmp_path / "messages.csv"
    sheet.write_text(SHEET)
    words = ("--deck", "sms", "--unit", "EUR", "--measure", "messages", "--per", "1", "--yes")
    pbxbill("rates", "import", str(sheet), *words)
    pbxbill("tariffs", "add", "texting", "--deck", "sms")

    refused = pbxbill("services", "set", "bob", "bytes", "texting")
    assert (refused.exit_code, "prices for messages, not for bytes" in refused.output) == (2, True)
    missing = pbxbill("services", "remove", "bob", "bytes")
    assert (missing.exit_code, "has no tariff for bytes" in missing.output) == (2, True)

"""docs/taxes.md: its commands run, their output is what the page says, and its sums are ours."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from pbxbill.billing.invoices.totals import TaxRounding, TotalLine, total
from pbxbill.billing.taxes.tax import AppliedTax, taxed
from pbxbill.money import Unit, format_amount, minor_step, parse_amount
from tests.store.command_line import Ok, Run

PAGE = (Path(__file__).parents[2] / "docs" / "taxes.md").read_text()
EUR = Unit("EUR")
VAT = AppliedTax("USt", 190_000, "S", compound=False, inclusive=False)
ROWS = re.findall(
    r"^\| (-?\d[^|]*) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE
)


def plain(text: str) -> str:
    return " ".join(text.split())


def test_the_page_says_what_happens(pbxbill: Run, ok: Ok, tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text("prefix,name,price\n49,Germany,0.02\n")
    ok("init")
    for code in ("alice", "bob", "fanny"):
        ok("accounts", "add", code, "--unit", "EUR")
    said = [x for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for x in block.splitlines()]
    output, commands = "", 0
    for line, following in pairwise([*said, ""]):
        if line.startswith("$ pbxbill "):
            result = pbxbill(*shlex.split(line.removeprefix("$ pbxbill ")))
            assert result.exit_code == (2 if following.startswith("pbxbill: ") else 0), result.output
            output = plain(result.output)
            commands += 1
        else:
            assert plain(line) in output
    assert commands == 30


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_what_an_invoice_comes_to(row: tuple[str, ...]) -> None:
    lines, nets, *sums = row
    invoice = [TotalLine(parse_amount(x, EUR), (VAT,)) for x in lines.split(", ")]
    said = []
    for rounding in TaxRounding:
        found = total(invoice, minor_step(EUR), rounding)
        assert ", ".join(format_amount(net, EUR) for net in found.nets) == nets
        said += [format_amount(found.tax, EUR), format_amount(found.total, EUR)]
    assert said == sums


def test_the_sentences_with_numbers() -> None:
    assert len(ROWS) == 3
    inside = taxed(9_990_000, [VAT._replace(inclusive=True)])
    assert f"{format_amount(inside.net, EUR)} and {format_amount(inside.tax, EUR)}" in PAGE
    gst = AppliedTax("GST", 50_000, "S", compound=False, inclusive=False)
    qst = AppliedTax("QST", 95_000, "S", compound=True, inclusive=False)
    found = total([TotalLine(100_000_000, (gst, qst))], minor_step(EUR), TaxRounding.INVOICE)
    first, second = (format_amount(x.amount, EUR) for x in found.taxes)
    assert f"GST 5 % is {first}, QST 9.5 % of {format_amount(found.taxes[1].base, EUR)} is 9.975" in PAGE
    assert f"{second}; together {format_amount(found.total, EUR)}" in PAGE

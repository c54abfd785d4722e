"""The end of the demonstration: plans, a draft corrected, invoices issued, paid and credited, all as PDF.

Nobody waits for a month's end: `pbxbill bill now` bills an account up to this moment.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from demo import site
from demo.product import Product
from demo.promise import Promise

COUNTRY, VAT_PERCENT = "FR", "20"
ADDRESSES = {
    "operator": ("Sample Telecom SAS", "12 rue de l'Exemple", "75002", "Paris"),
    site.RESELLER.code: ("Northwind Telecom SARL", "4 quai du Nord", "59140", "Dunkerque"),
    site.ANNA.code: ("Anna Berg", "7 rue des Lilas", "59000", "Lille"),
    site.BRUNO.code: ("Bruno & Fils SA", "81 cours Gambetta", "69003", "Lyon"),
    site.HUGO.code: ("Hugo Trading SARL", "3 quai du Port", "13002", "Marseille"),
}
VAT_ID = "FR40303265045"
PLANS = {"operator": "office", site.RESELLER.code: "home"}
"""By who offers it; the file of that name in the data folder."""
SUBSCRIPTIONS = (
    (site.BRUNO.code, "office", 2),
    (site.HUGO.code, "office", 5),
    (site.ANNA.code, "home", 1),
)
BILLED = (site.RESELLER.code, site.ANNA.code, site.BRUNO.code, site.HUGO.code)
WAIVED, WHY_WAIVED = "Set-up", "waived for a five-seat customer"
CREDITED, WHY_CREDITED = "5.00", "the line was out of order for a day"
XML_NAME = "factur-x.xml"


@dataclass(slots=True)
class Invoiced:
    """What was issued, and where it lies."""

    folder: Path
    documents: list[dict[str, Any]] = field(default_factory=list)
    corrected: int = 0
    """The document whose draft was corrected; it is paid as well."""
    credited: int = 0


def offer_plans(product: Product) -> None:
    """Who everybody is, the tax that holds, and what is subscribed to before the first call."""
    for issuer in PLANS:
        product.command("issuers", "set", issuer, "--zone", site.ZONE.key, "--payment-days", "30")
    for code, (name, street, postal_code, city) in ADDRESSES.items():
        facts = {
            "--legal-name": name,
            "--street": street,
            "--postal-code": postal_code,
            "--city": city,
            "--country": COUNTRY,
        }
        if code in PLANS:
            facts["--vat-id"] = VAT_ID
        product.command("parties", "set", code, *(word for pair in facts.items() for word in pair))
    for issuer, plan in PLANS.items():
        of = [] if issuer == "operator" else ["--reseller", issuer]
        product.command("taxes", "add", "TVA", VAT_PERCENT, "--country", COUNTRY, *of)
        product.command("plans", "import", plan, str(site.DATA / f"{plan}.toml"), *of)
    for code, plan, quantity in SUBSCRIPTIONS:
        product.command("subscriptions", "add", code, plan, "--quantity", str(quantity))


def invoice_everybody(product: Product) -> Invoiced:
    """Draft, correct, issue, credit, take a payment, and write everything as PDF."""
    done = Invoiced(product.directory / "invoices")
    done.folder.mkdir()
    drafts = {}
    for code in BILLED:
        for made in product.json("bill", "now", code)["invoices"]:
            drafts[code] = made["invoice"]
    done.corrected, done.credited = drafts[site.HUGO.code], drafts[site.BRUNO.code]
    waived = next(
        x for x in product.json("invoices", "lines", str(done.corrected)) if WAIVED in x["description"]
    )
    product.command("invoices", "remove-line", str(waived["id"]), "--reason", WHY_WAIVED)
    for draft in drafts.values():
        product.command("invoices", "issue", str(draft))
    product.command("invoices", "pay", str(done.corrected), "--reference", "transfer of today")
    product.command("invoices", "credit", str(done.credited), "--amount", CREDITED, "--reason", WHY_CREDITED)
    for listed in product.json("invoices", "list")["documents"]:
        if listed["kind"] == "receipt":
            continue  # of what a card paid, made by itself
        done.documents.append(product.json("invoices", "show", str(listed["id"])))
    for document in done.documents:
        file = done.folder / f"{document['issuer']}-{document['number']}.pdf"
        product.command("invoices", "render", str(document["id"]), "--to", str(file))
    return done


def document_table(invoiced: Invoiced) -> Table:
    """The documents in the order of their making."""
    table = Table(title=f"{len(invoiced.documents)} documents", box=SIMPLE_HEAD, title_justify="left")
    for name in ("By", "Number", "To", "State"):
        table.add_column(name)
    for name in ("Net", "Tax", "Total", "Open"):
        table.add_column(name, justify="right", no_wrap=True)
    for x in reversed(invoiced.documents):
        cells = (
            x["issuer"],
            x["number"],
            x["account"],
            x["state"],
            x["net"],
            x["tax"],
            x["total"],
            x["open"],
        )
        table.add_row(*map(Text, cells))
    return table


def examine_invoices(product: Product, invoiced: Invoiced) -> Iterator[Promise]:
    """Each PDF against the ledger, the numbers, and what was done to the drafts."""
    from pypdf import PdfReader

    unlike = []
    for document in invoiced.documents:
        file = invoiced.folder / f"{document['issuer']}-{document['number']}.pdf"
        reader = PdfReader(io.BytesIO(file.read_bytes()))
        text = "".join(page.extract_text() for page in reader.pages)
        xml = b"".join(reader.attachments.get(XML_NAME, []))
        total = f"GrandTotalAmount>{document['total']}<".encode()
        printed = (document["total"], document["total"].replace(".", ","))  # in the customer's language
        if document["number"] not in text or not any(x in text for x in printed) or total not in xml:
            unlike.append(document["number"])
    yield Promise(
        "each PDF opens, says its total and holds it for machines",
        not unlike and len(invoiced.documents) == len(BILLED) + 1,
        ", ".join(unlike) or f"{len(invoiced.documents)} PDFs with {XML_NAME}",
    )
    yield _of_calls(product, invoiced)
    yield _of_numbers(invoiced)
    by_id = {document["id"]: document for document in invoiced.documents}
    corrected, credited = by_id[invoiced.corrected], by_id[invoiced.credited]
    lines = product.json("invoices", "lines", str(invoiced.corrected))
    kept = WHY_WAIVED in [line["reason"] for line in lines] and corrected["state"] == "paid"
    yield Promise(
        "a draft was corrected, and its invoice paid", kept, f"{corrected['number']} is {corrected['state']}"
    )
    left = Decimal(credited["total"]) - Decimal(CREDITED)
    kept = Decimal(credited["open"]) == left
    yield Promise(
        "a credit note reduced what is open", kept, f"{credited['open']} of {credited['total']} left"
    )


def _of_calls(product: Product, invoiced: Invoiced) -> Promise:
    """What calls were charged, tax included, is on the invoices: by the ledger entries behind their lines."""
    wrong, count = [], 0
    for document in invoiced.documents:
        if document["kind"] != "invoice" or document["account"] == site.RESELLER.code:
            continue  # records tell what customers were charged, not what of it their reseller was
        behind = product.json("invoices", "history", str(document["id"]), "--limit", "1000")["lines"]
        usage = [Decimal(x["amount"]) for x in behind if x["kind"] == "usage"]
        count += len(usage)
        words = ("cdrs", "--account", document["account"], "--limit", "10000")
        charged = [Decimal(x["total"]) for x in product.json(*words) if x["total"] is not None]
        if abs(sum(usage)) != sum(charged):
            wrong.append(f"{document['account']}: {sum(usage)} of {sum(charged)}")
    return Promise(
        "calls' charges are on invoices, to the last digit", not wrong, "; ".join(wrong) or f"{count} entries"
    )


def _of_numbers(invoiced: Invoiced) -> Promise:
    """Each issuer counts each kind of document from one, without a gap."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for document in invoiced.documents:
        key = (document["issuer"], document["kind"])
        numbers.setdefault(key, []).append(int(document["number"].rpartition("-")[2]))
    kept = all(sorted(found) == list(range(1, len(found) + 1)) for found in numbers.values())
    return Promise("numbers have no gaps", kept, f"{len(numbers)} sequences")

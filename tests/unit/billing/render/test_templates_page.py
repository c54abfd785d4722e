"""docs/templates.md: its examples work, and it names all that there is."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from pbxbill.billing.invoices.document import (
    Document,
    DocumentCall,
    DocumentLine,
    DocumentPayment,
    DocumentTax,
    PartyBlock,
)
from pbxbill.billing.render.html import check_template, filled_body
from pbxbill.billing.render.sample import SAMPLES, sample_document, sample_documents
from pbxbill.billing.render.sandbox import FORMATS
from pbxbill.billing.render.template import Colours, Layout, Template, template_from_mapping
from pbxbill.billing.render.texts import LANGUAGES, built_in_texts

PAGE = (Path(__file__).parents[4] / "docs" / "templates.md").read_text()


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def row(first: str) -> list[str]:
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {first} |"))
    return [name.strip() for name in line.split("|")[2].split(",")]


def test_the_options_are_read_and_none_is_left_out() -> None:
    template = template_from_mapping(tomllib.loads(example("toml")))
    assert template.layout.call_columns[0] == "started_at"
    for name in (*(x.name for x in fields(Layout)), *(x.name for x in fields(Colours))):
        assert re.search(rf"\b{name}\b", example("toml")), name


def test_the_markup_works_on_every_kind() -> None:
    template = Template(html=example("html"))
    check_template(template, sample_documents())
    shown = filled_body(sample_document(), template, "")
    assert "<h1>Invoice INV-2026-00042</h1>" in shown
    assert "<td>12</td><td>€118.80</td>" in shown


@pytest.mark.parametrize(
    "first,kind",
    [
        ("`document`", Document),
        ("`seller`, `buyer`", PartyBlock),
        ("`document.lines`", DocumentLine),
        ("`document.taxes`", DocumentTax),
        ("`document.calls`", DocumentCall),
        ("`document.payments`", DocumentPayment),
    ],
)
def test_every_field_is_named(first: str, kind: type) -> None:
    assert row(first) == [field.name for field in fields(kind)]


def test_every_filter_sample_and_language_is_named() -> None:
    for name in (*FORMATS, "lines", "join", "select_given"):
        assert f"`{name}`" in PAGE, name
    assert ", ".join(SAMPLES[:-1]) + f" or {SAMPLES[-1]}" in PAGE
    assert "en, de, es or fr" in PAGE
    assert set(LANGUAGES) == {"en", "de", "es", "fr"}


def test_each_language_has_the_same_texts() -> None:
    english = set(built_in_texts("en"))
    for language in LANGUAGES:
        assert set(built_in_texts(language)) == english, language

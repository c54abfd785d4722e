"""What a template's author may do, and that he can do nothing else."""

from dataclasses import replace

import pytest

from pbxbill.billing.render.html import filled_body, render_html
from pbxbill.billing.render.sample import SAMPLES, sample_document
from pbxbill.billing.render.sandbox import TemplateFault
from pbxbill.billing.render.template import Template

INVOICE = sample_document()

COUNTED = """{% set ns = namespace(n=0) %}
{% for line in document.lines %}{% set ns.n = ns.n + 1 %}{% endfor %}
{{ ns.n }}"""
DOUBLED = "{{% set ns = namespace(x='xxxxxxxx') %}}{{% for i in range(60) %}}{}{{% endfor %}}"
LONG = "{% set x = 'f' %}" + "{% set x = x ~ x %}" * 17
BIG = "{% macro big() %}" + "x" * 50_000 + "{% endmacro %}"


def filled(html: str) -> str:
    return filled_body(INVOICE, Template(html=html), "")


@pytest.mark.parametrize(
    "html,written",
    [
        ("{{ document.number }}", "INV-2026-00042"),
        ("{{ document.total|money }}", "€705.71"),
        ("{{ buyer.name|upper }}", "ATELIER LUMIÈRE SARL"),
        ("{{ t.due }}: {{ document.due_on|date }}", "Amount due: 15 Feb 2026"),
        ("{{ t['kind_' ~ document.kind] }}", "Invoice"),
        ("{% for line in document.lines %}{{ loop.index }}{% endfor %}", "12345678"),
        ("{% for l in document.lines if l.ppm %}{{ l.net|amount }} {% endfor %}", "118.80 31.61 1.50 25.68"),
        (COUNTED, "8"),
        ("{% macro b(x) %}<b>{{ x }}</b>{% endmacro %}{{ b(seller.name) }}", "<b>Nordlicht Telecom GmbH</b>"),
        ("{{ document.issued_on.year }}", "2026"),
        ("{{ seller.iban|iban }}", "DE02\u00a01203\u00a00000\u00a00000\u00a02020\u00a051"),
        ("{{ ('a', '', 'b')|select_given|join(' · ') }}", "a · b"),
        ("{{ document.lines[0].description[:5] }}", "Cloud"),
    ],
)  # fmt: skip
def test_a_template_reads_and_formats_the_document(html: str, written: str) -> None:
    assert filled(html).startswith(written)


def test_what_a_customer_calls_himself_is_text() -> None:
    """Nobody writes markup into somebody else's documents by choosing a name."""
    named = replace(
        INVOICE, buyer=replace(INVOICE.buyer, name="<img src=x onerror=alert(1)>", city="{{ 7*7 }}")
    )
    shown = render_html(named)
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown
    assert "{{ 7*7 }}" in shown
    assert "<script" not in shown


@pytest.mark.parametrize(
    "html",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ document.__class__.__init__.__globals__ }}",
        "{{ document['__class__'] }}",
        "{{ document.lines.__len__() }}",
        "{{ document.lines.count(1) }}",
        "{{ document.unit.__module__ }}",
        "{{ t.__class__ }}",
        "{{ t.keys() }}",
        "{{ t.pop('due') }}",
        "{{ self.__dict__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ loop.__init__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ namespace(a=1).__class__ }}",
        "{{ range.__class__ }}",
        "{{ range }}",
        "{{ document }}",
        "{{ document.lines }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler }}",
        "{{ joiner }}",
        "{{ config }}",
        "{{ 'x'.format(document) }}",
        "{{ '{0.__class__}'.format(document) }}",
        "{{ '%s' % document }}",
        "{{ document|attr('__class__') }}",
        "{{ document.lines|map(attribute='__class__')|list }}",
        "{{ (document,)|join }}",
        "{{ document ~ '' }}",
        "{{ document|string }}",
        "{{ document|pprint }}",
        "{{ document.buyer|tojson }}",
        "{{ '<b>'|safe }}",
        "{{ 'x'|filter_that_is_not }}",
        "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% endmacro %}{{ m.__class__ }}",
        "{% macro m() %}{{ varargs }}{{ kwargs.__class__ }}{% endmacro %}{{ m() }}",
        "{% set document.number = 'X' %}",
        "{% include '/etc/passwd' %}",
        "{% import '/etc/passwd' as x %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% autoescape false %}{{ '<b>' }}{% endautoescape %}",
        "{% filter upper %}x{% endfilter %}",
        "{% call range(3) %}{% endcall %}",
        "{% for x in t %}{% for y in x.__class__.__bases__ %}{% endfor %}{% endfor %}",
        "{{ document.issued_on.today() }}",
        "{{ document.issued_on.strftime('%c' * 1000000) }}",
        "{{ document.extra.__class__ }}",
        "{{ open('/etc/passwd').read() }}",
        "{{ seller.code.encode().hex() }}",
    ],
)  # fmt: skip
def test_nothing_else_can_be_reached(html: str) -> None:
    with pytest.raises(TemplateFault) as fault:
        filled(html)
    for leaked in ("<class", "root:", "0x7"):
        assert leaked not in str(fault.value)


@pytest.mark.parametrize(
    "html",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 99999999999 * 99999999999 * 99999999999 * 99999999999 * 99999999999 }}",
        DOUBLED.format("{% set ns.x = ns.x ~ ns.x %}"),
        DOUBLED.format("{% set x %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = x %}"),
        "{% for i in range(9999) %}{% for l in document.lines %}" + "x" * 5000 + "{% endfor %}{% endfor %}",
        "{% for i in range(9999) %}{% for j in range(300) %}{{ t.nothing_due }}{% endfor %}{% endfor %}",
        BIG + "{% for i in range(9999) %}{% set x = big() %}{% endfor %}",
        "{{ ['x']|join('y' * 999999999) }}",
        "{{ 5|number(100000000) }}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "9" * 6000 + " }}",
        "{% for a in t %}" * 30 + "{% endfor %}" * 30,
        LONG + "{% for i in range(9000) %}{% set y = x|upper %}{% endfor %}",
        LONG + "{% for i in range(9000) %}{% set y = x|int(0, 16) %}{% endfor %}",
        LONG + "{% set y = x|int(0, 16) %}{% set z = y % 3 %}",
    ],
)  # fmt: skip
@pytest.mark.timeout(20)
def test_what_never_ends_is_ended(html: str) -> None:
    with pytest.raises(TemplateFault):
        filled(html)


@pytest.mark.parametrize(
    "html,line,reason",
    [
        ("<p>\n{{ documnt.number }}", 2, "'documnt' is undefined"),
        ("<p>\n\n{{ document.nummer }}", 3, "there is no field 'nummer'"),
        ("{% for x in document.lines %}\n\n", 1, "Unexpected end of template"),
        ("\n{{ t.gruesse }}", 2, "there is no text or value named 'gruesse'"),
        ("\n\n\n{{ document.total|monney }}", 4, "No filter named 'monney'"),
        ("<p>{{ document.number }</p>", 1, "unexpected '}'"),
        ("{% if document.draft %}\n{% else %}\n{{ 1 // 0 }}{% endif %}", 3, "by zero"),
        ("\n{{ seller.name|money }}", 2, ""),
        ("\n{% block x %}{% endblock %}", 2, "not for invoice templates"),
    ],
)
def test_a_fault_says_line_and_reason(html: str, line: int, reason: str) -> None:
    with pytest.raises(TemplateFault) as fault:
        filled(html)
    assert fault.value.line == line
    assert reason in fault.value.reason
    assert str(fault.value).startswith(f"line {line}: ")


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "de-AT", "pt", "xx"])
def test_the_built_in_template_has_words_for_every_kind(kind: str, language: str) -> None:
    shown = render_html(sample_document(kind, language))
    assert "Atelier Lumière SARL" in shown


def test_html_for_a_browser_fetches_and_runs_nothing() -> None:
    shown = render_html(
        INVOICE, Template(html="<script src=//evil></script>", css="</style><script>1</script>")
    )
    policy = "default-src 'none'; img-src data:"
    assert shown.index(policy) < shown.index("<script"), "what a template brings comes after the policy"
    assert "<\\/style>" in shown

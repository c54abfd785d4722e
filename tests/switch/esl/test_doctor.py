"""What doctor says of a dialplan that FreeSWITCH shows."""

import pytest

from pbxbill.cli.finding import Verdict
from pbxbill.cli.switch_checks import _routes

GUARDED = """<section name="dialplan"><context name="pbxbill_routes"><extension name="carrier">
<condition><action application="bridge" data="sofia/gateway/carrier/1"/></condition></extension></context>
<context name="default">{}</context></section>"""
BESIDE = """<extension name="{}"><condition><action application="{}" data="{}"/></condition></extension>"""


def test_routes_behind_the_verdict_are_as_they_should_be() -> None:
    phones = BESIDE.format("phones", "bridge", "user/1001@example")
    finding = _routes("fs1", GUARDED.format(phones))
    assert (finding.verdict, finding.remedy) == (Verdict.OK, "")


@pytest.mark.parametrize(
    "application, data",
    [
        ("bridge", "sofia/gateway/other/$1"),
        ("bridge", "{timeout=5}sofia/gateway/other/$1"),
        ("set", "route=sofia/gateway/other/$1"),
    ],
)
def test_a_route_beside_the_verdict_is_named(application: str, data: str) -> None:
    finding = _routes("fs1", GUARDED.format(BESIDE.format("away", application, data)))
    assert finding.verdict is Verdict.WARN
    assert "default/away" in finding.detail
    assert "pbxbill_routes" in finding.remedy


def test_many_routes_are_counted() -> None:
    many = "".join(BESIDE.format(f"r{i}", "bridge", "sofia/gateway/x/1") for i in range(8))
    assert _routes("fs1", GUARDED.format(many)).detail.endswith("default/r4 and 3 more")


@pytest.mark.parametrize("answer", ["-ERR no reply", "", "<section", "<a>" * 1000])
def test_a_dialplan_that_cannot_be_read_is_said_to_be(answer: str) -> None:
    finding = _routes("fs1", answer)
    assert finding.verdict is Verdict.OK
    assert "were not looked for" in finding.detail

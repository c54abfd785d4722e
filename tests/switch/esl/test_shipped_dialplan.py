"""The dialplan that we ship, as FreeSWITCH would read it: nothing reaches a gateway without a verdict."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

DIALPLAN = Path(__file__).parents[3] / "freeswitch-conf" / "dialplan"
QUESTION = DIALPLAN / "default" / "00_pbxbill_outbound.xml"
FILES = sorted([*DIALPLAN.rglob("*.xml"), *DIALPLAN.rglob("*.sample")])
ROUTES = sorted((DIALPLAN / "pbxbill_routes").iterdir())
HOSTILE = [
    "155500&sofia/gateway/carrier/1",
    "155500,sofia/gateway/carrier/1",
    "155500|sofia/gateway/carrier/1",
    "155500:_:1",
    "155500;x=y",
    "155500@elsewhere",
    "155500/1",
    "155500\n",
    "{pbxbill_verdict=allow}155500",
    "[pbxbill_verdict=allow]155500",
    "${accountcode}00000",
    "155500 ",
    "155500%0a",
]

HOSTILE_INSIDE = [number for number in HOSTILE if "\n" not in number]
EMERGENCY = ["112", "911", "999", "000", "110", "119"]


def actions(element: ET.Element) -> list[tuple[str, str]]:
    return [(action.get("application", ""), action.get("data", "")) for action in element.iter("action")]


def extension(path: Path, name: str) -> ET.Element:
    (found,) = [found for found in ET.parse(path).iter("extension") if found.get("name") == name]
    return found


def expression(element: ET.Element, field: str) -> str:
    (found,) = [found for found in element.iter("condition") if found.get("field") == field]
    return found.get("expression", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_the_context_for_allowed_calls_names_a_gateway(path: Path) -> None:
    names_one = "sofia/gateway" in path.read_text()
    assert names_one == (path in ROUTES)


@pytest.mark.parametrize("path", ROUTES, ids=lambda path: path.name)
def test_a_route_wants_the_verdict_and_dials_the_number_that_was_asked_about(path: Path) -> None:
    for route in ET.parse(path).iter("extension"):
        assert expression(route, "${pbxbill_verdict}") == "^allow$"
        dialled = expression(route, "${pbxbill_number}")
        for number in (*EMERGENCY, "15550", "1" * 20):
            assert re.search(dialled, number)
        assert not any(
            re.search(dialled, number) for number in ("", "1", "1" * 21, "+112", "11a", *HOSTILE_INSIDE)
        )
        bridges = [data for application, data in actions(route) if application == "bridge"]
        assert bridges
        assert all(re.fullmatch(r"sofia/gateway/\w+/\$\{pbxbill_number\}", data) for data in bridges)


def test_the_context_for_allowed_calls_begins_with_its_guard() -> None:
    (context,) = [
        found
        for found in ET.parse(DIALPLAN / "pbxbill.xml").iter("context")
        if found.get("name") == "pbxbill_routes"
    ]
    guard = context[0]
    assert expression(guard, "${pbxbill_verdict}") == "^allow$"
    assert [action.get("application") for action in guard.iter("anti-action")] == ["hangup"]
    assert actions(guard) == [("unset", "pbxbill_verdict")]  # a verdict serves once
    assert [element.tag for element in context] == ["extension", "X-PRE-PROCESS", "extension"]


@pytest.mark.parametrize(
    "folder, name",
    [
        ("default/00_pbxbill_outbound.xml", "pbxbill_outbound"),
        ("public/00_pbxbill_inbound.xml", "pbxbill_inbound"),
    ],
)
def test_each_question_begins_without_a_verdict(folder: str, name: str) -> None:
    steps = actions(extension(DIALPLAN / folder, name))
    assert steps[0] == ("unset", "pbxbill_verdict")
    assert ("set", "pbxbill_number=$1") in steps
    applications = [application for application, _ in steps]
    assert steps[applications.index("socket") + 1] == ("execute_extension", "verdict XML pbxbill")


def test_an_outbound_call_is_routed_after_its_question_and_nowhere_else() -> None:
    question = extension(QUESTION, "pbxbill_outbound")
    assert question.get("continue") is None
    assert actions(question)[-1] == ("execute_extension", "${pbxbill_number} XML pbxbill_routes")


@pytest.mark.parametrize("number", HOSTILE)
@pytest.mark.parametrize("folder", ["default/00_pbxbill_outbound.xml", "public/00_pbxbill_inbound.xml"])
def test_what_is_no_number_is_refused_before_other_extensions(folder: str, number: str) -> None:
    *_, asking, refusing = ET.parse(DIALPLAN / folder).iter("extension")
    asked = re.search(expression(asking, "destination_number"), number)
    refused = re.search(expression(refusing, "destination_number"), number)
    # PCRE and Python let a dollar match before a last line feed; what is captured is digits all the same.
    assert refused or asked
    assert asked is None or asked[1].isdigit()
    assert actions(refusing) == [("hangup", "INVALID_NUMBER_FORMAT")]


@pytest.mark.parametrize(
    "number", ["33155512345", "+33155512345", "1001", "*97", "#1", "sales.desk", "park+5901"]
)
def test_ordinary_numbers_are_not_refused(number: str) -> None:
    refusing = extension(QUESTION, "pbxbill_no_number")
    assert re.search(expression(refusing, "destination_number"), number) is None


def emergency_pattern(listed: str = "") -> str:
    """As FreeSWITCH expands it, with the administrator's list or with ours."""
    defaults = extension(QUESTION, "pbxbill_emergency_numbers")
    assert expression(defaults, "${pbxbill_emergency}") == "^$"
    assert defaults.get("continue") == "true"
    ((_, setting),) = actions(defaults)
    pattern = expression(extension(QUESTION, "pbxbill_emergency"), "destination_number")
    return pattern.replace("${pbxbill_emergency}", listed or setting.partition("=")[2])


def test_emergency_numbers_are_never_asked_about() -> None:
    steps = actions(extension(QUESTION, "pbxbill_emergency"))
    assert "socket" not in [application for application, _ in steps]
    assert steps[0] == ("unset", "pbxbill_verdict")
    assert steps[-2:] == [
        ("execute_extension", "emergency XML pbxbill"),
        ("execute_extension", "${pbxbill_number} XML pbxbill_routes"),
    ]
    names = [found.get("name") for found in ET.parse(QUESTION).iter("extension")]
    assert names.index("pbxbill_emergency") < names.index("pbxbill_outbound")


@pytest.mark.parametrize("number", EMERGENCY)
def test_what_ours_are(number: str) -> None:
    assert re.search(emergency_pattern(), number)


@pytest.mark.parametrize("number", ["1121", "0112", "911911", "11", "112a", "112,1", "33155512112", *HOSTILE])
def test_what_only_looks_like_one_is_none(number: str) -> None:
    assert re.search(emergency_pattern(), number) is None


def test_the_administrators_list_replaces_ours() -> None:
    assert re.search(emergency_pattern("113|1177"), "1177")
    assert re.search(emergency_pattern("113|1177"), "112") is None


def test_an_emergency_call_and_one_in_shadow_have_no_end() -> None:
    passes = extension(DIALPLAN / "pbxbill.xml", "unanswered_passes")
    decided = {found.get("field"): actions(found) for found in passes.iter("condition")}
    assert (
        decided["destination_number"]
        == decided["${pbxbill_shadow_passes}"]
        == [("set", "pbxbill_pass=untimed")]
    )
    assert decided["${pbxbill_failure_policy}"] == [("set", "pbxbill_pass=timed")]
    timer = extension(DIALPLAN / "pbxbill.xml", "unanswered_timer")
    assert expression(timer, "${pbxbill_pass}") == "^timed$"
    assert [found.get("data") for found in timer.iter("anti-action")] == ["pbxbill_timer="]

"""How lines become records, and the sentence for each that does not."""

import json
from typing import Any

import pytest

from pbxbill.charging.events import Direction
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.errors import InputRefused
from pbxbill.mediation.mapping import Mapping, built_in_formats, load_mapping
from pbxbill.mediation.parsing import FILTERED, RecordParser
from pbxbill.mediation.record import Reason, Unusable, UsageRecord
from pbxbill.mediation.splitting import splitter

NOON_US = 1_772_366_400 * SECOND_US
"""2026-03-01 12:00 UTC."""


def mapping(**changes: Any) -> Mapping:
    content: dict[str, Any] = {
        "name": "test",
        "file": {"type": "csv", "columns": ["account", "number", "start", "answer", "end", "seconds", "id"]},
        "time": {"zone": "UTC"},
        "account": {"sip": "account"},
        "fields": {
            "called": "number",
            "started": "start",
            "answered": "answer",
            "ended": "end",
            "duration": {"column": "seconds"},
            "call_id": "id",
        },
        "fingerprint": ["id"],
    }
    return Mapping.model_validate(content | changes)


def read(line: str | bytes, rules: Mapping | None = None, now_us: int = NOON_US) -> Any:
    rules = rules or mapping()
    raw = line.encode() if isinstance(line, str) else line
    columns = splitter(rules, None, "test.csv")(raw)
    if isinstance(columns, Unusable):
        return columns
    return RecordParser(rules, ManualClock(now_us))(columns)


def test_a_good_line() -> None:
    found = read("bob,4930,2026-03-01 11:00:00,2026-03-01 11:00:05,2026-03-01 11:01:05,60,c1")
    assert isinstance(found, UsageRecord)
    assert (found.account.account_code, found.called, found.direction) == ("bob", "4930", Direction.OUTBOUND)
    assert found.answered_us == NOON_US - 3595 * SECOND_US
    assert found.quantity == 60 * SECOND_US
    assert len(found.key) == 32


@pytest.mark.parametrize(
    "line,reason,sentence",
    [
        ("bob,4930,2026-03-01 11:00:00", Reason.COLUMNS, "has 3 columns instead of 7: account, number"),
        ('bob,"4930,2026-03-01 11:00:00', Reason.COLUMNS, "is no CSV row"),
        ("bob,,2026-03-01 11:00:00,,2026-03-01 11:00:05,0,c", Reason.FIELD_MISSING, "called (column number)"),
        (",4930,2026-03-01 11:00:00,,2026-03-01 11:00:05,0,c", Reason.FIELD_MISSING, "account: account are"),
        ("bob,4930,,,2026-03-01 11:00:05,0,c", Reason.FIELD_MISSING, "started (column start): is empty"),
        ("bob,4930,yesterday,,2026-03-01 11:00:05,0,c", Reason.FIELD_MALFORMED, "started: 'yesterday'"),
        (
            "bob,4930,2026-03-01 11:00:00,2026-03-01 10:59:00,2026-03-01 11:00:05,65,c",
            Reason.TIMES_DISORDERED,
            "answered: lies before the start",
        ),
        (
            "bob,4930,2026-03-01 11:00:00,2026-03-01 11:00:09,2026-03-01 11:00:05,4,c",
            Reason.TIMES_DISORDERED,
            "ended: lies before the answer",
        ),
        (
            "bob,4930,2026-03-01 11:00:00,2026-03-01 11:00:05,2026-03-01 11:01:05,-60,c",
            Reason.TIMES_DISORDERED,
            "duration: -60 is negative",
        ),
        (
            "bob,4930,2026-03-01 11:00:00,2026-03-01 11:00:05,2026-03-01 11:01:05,90,c",
            Reason.TIMES_DISORDERED,
            "duration: says 90 s, answer and end lie 60 s apart",
        ),
        (
            "bob,4930,2026-03-01 11:00:00,2026-03-01 11:00:05,2026-03-01 11:01:05,99999999,c",
            Reason.TIME_ABSURD,
            "is longer than any call",
        ),
        (
            "bob,4930,2026-03-01 11:00:00,2026-03-01 11:00:05,2026-03-01 13:00:05,7200,c",
            Reason.FUTURE,
            "ended: lies in the future",
        ),
        (
            "bob,4930,1970-01-01 00:00:00,1970-01-01 00:00:05,1970-01-01 00:01:05,60,c",
            Reason.TIME_ABSURD,
            "lies before 2000",
        ),
        (
            "bob,4930,2026-01-01 11:00:00,2026-01-01 11:00:05,2026-03-01 11:01:05,,c",
            Reason.TIME_ABSURD,
            "no call lasts that long",
        ),
        (
            b"bob,49\xff30,2026-03-01 11:00:00,2026-03-01 11:00:05,2026-03-01 11:01:05,60,c",
            Reason.NOT_TEXT,
            "number: holds bytes that are no utf-8",
        ),
        (
            b"bob,49\x0030,2026-03-01 11:00:00,2026-03-01 11:00:05,2026-03-01 11:01:05,60,c",
            Reason.NOT_TEXT,
            "number: holds a NUL",
        ),
    ],
)
def test_each_bad_line_gets_a_sentence(line: str | bytes, reason: Reason, sentence: str) -> None:
    found = read(line)
    assert isinstance(found, Unusable), found
    assert found.reason is reason
    assert sentence in found.detail


def berlin(rule: str = "refuse", **more: Any) -> Mapping:
    time = {"zone": "Europe/Berlin", "ambiguous": rule}
    return mapping(time=time, **more)


AUTUMN_US = 1_792_890_000 * SECOND_US
"""2026-10-25 01:00 UTC: clocks go back from 3:00 to 2:00 in Berlin."""
TWICE = "bob,4930,2026-10-25 02:10:00,2026-10-25 02:10:05,2026-10-25 02:11:05,60,c"


def test_the_hour_that_comes_twice_is_told_apart_by_the_rule() -> None:
    later_us = AUTUMN_US + 7200 * SECOND_US
    refused = read(TWICE, berlin(), later_us)
    assert refused.reason is Reason.TIME_AMBIGUOUS
    assert "'2026-10-25 02:10:00' came twice in Europe/Berlin" in refused.detail
    earlier = read(TWICE, berlin("earlier"), later_us)
    later = read(TWICE, berlin("later"), later_us)
    assert earlier.started_us == AUTUMN_US - 50 * 60 * SECOND_US
    assert later.started_us - earlier.started_us == 3600 * SECOND_US
    assert earlier.quantity == later.quantity == 60 * SECOND_US


def test_durations_tell_which_hour_is_meant() -> None:
    """From 1:59 on, for seventy minutes: the end is in the second of the two hours."""
    fields = mapping().fields.model_dump(exclude_none=True) | {"whole_duration": {"columns": ["whole"]}}
    columns = ["account", "number", "start", "answer", "end", "seconds", "id", "whole"]
    rules = berlin(fields=fields, file={"type": "csv", "columns": columns})
    line = "bob,4930,2026-10-25 01:59:00,2026-10-25 01:59:05,2026-10-25 02:09:00,4195,c,4200"
    found = read(line, rules, AUTUMN_US + 7200 * SECOND_US)
    assert isinstance(found, UsageRecord), found
    assert found.ended_us - found.started_us == 4200 * SECOND_US


@pytest.mark.parametrize(
    "rang, delay, found",
    [
        ("2026-03-01 11:00:03", "", 3 * SECOND_US),
        ("", "2500", 2_500_000),
        ("2026-03-01 11:00:03", "2500", 2_500_000),
        ("", "0", 0),
        ("", "", None),
        ("2026-03-01 10:59:00", "", None),
        ("", "99000", None),
    ],
    ids=["moment", "delay", "both", "at once", "neither", "before the call", "after it"],
)
def test_when_it_rang_is_taken_where_the_source_tells(rang: str, delay: str, found: int | None) -> None:
    fields = mapping().fields.model_dump(exclude_none=True)
    fields |= {"ringing": "rang", "post_dial_delay": {"column": "delay", "unit": "ms"}}
    columns = ["account", "number", "start", "answer", "end", "seconds", "id", "rang", "delay"]
    rules = mapping(fields=fields, file={"type": "csv", "columns": columns})
    for answer, seconds in (("2026-03-01 11:00:05", 60), ("", 0)):  # nobody answered: it rang all the same
        line = f"bob,4930,2026-03-01 11:00:00,{answer},2026-03-01 11:01:05,{seconds},c1,{rang},{delay}"
        record = read(line, rules)
        assert isinstance(record, UsageRecord)
        assert record.ringing_us == found


def test_a_delay_that_is_no_number_is_a_mapping_for_another_file() -> None:
    fields = mapping().fields.model_dump(exclude_none=True) | {"post_dial_delay": "number"}
    line = "bob,4930x,2026-03-01 11:00:00,2026-03-01 11:00:05,2026-03-01 11:01:05,60,c1"
    found = read(line, mapping(fields=fields))
    assert (found.reason, found.field) == (Reason.FIELD_MALFORMED, "post_dial_delay")


def test_a_time_that_never_was() -> None:
    found = read("bob,4930,2026-03-29 02:30:00,,2026-03-29 03:30:00,0,c", berlin(), NOON_US * 2)
    assert found.reason is Reason.TIME_ABSURD
    assert "never was in Europe/Berlin" in found.detail


def test_a_call_across_the_change_of_clocks_lasts_as_long_as_it_did() -> None:
    """01:59:30 to 03:00:30 in the night when an hour is left out: one minute."""
    line = "bob,4930,2026-03-29 01:59:30,2026-03-29 01:59:30,2026-03-29 03:00:30,60,c"
    found = read(line, berlin(), NOON_US * 2)
    assert found.quantity == 60 * SECOND_US


@pytest.mark.parametrize(
    "form,unit,start,length",
    [
        ("epoch_s", "s", "1772362800", "61.5"),
        ("epoch_ms", "ms", "1772362800000", "61500"),
        ("epoch_us", "us", "1772362800000000", "61500000"),
        ("iso", "h:mm:ss", "2026-03-01T12:00:00+01:00", "0:01:01.5"),
        ("%d/%m/%y %H.%M", "min", "01/03/26 11.00", "1.025"),
    ],
)
def test_forms_of_moments_and_units(form: str, unit: str, start: str, length: str) -> None:
    rules = mapping(
        file={"type": "csv", "columns": ["account", "number", "start", "length"]},
        time={"zone": "UTC", "form": form},
        fields={
            "called": "number",
            "started": "start",
            "duration": {"column": "length", "unit": unit},
        },
        fingerprint=["start"],
    )
    found = read(f"bob,4930,{start},{length}", rules)
    assert (found.started_us, found.quantity) == (NOON_US - 3600 * SECOND_US, 61_500_000)


def test_the_filter_leaves_out_what_is_not_wanted() -> None:
    rules = mapping(filter=[{"column": "number", "begins": "49"}, {"column": "id", "differs": ""}])
    line = "bob,{},2026-03-01 11:00:00,2026-03-01 11:00:05,2026-03-01 11:01:05,60,c1"
    assert isinstance(read(line.format("4930"), rules), UsageRecord)
    assert read(line.format("3312"), rules) is FILTERED


def test_events_have_a_measure_and_whole_pieces() -> None:
    rules = Mapping.model_validate(
        {
            "name": "sms",
            "kind": "event",
            "file": {"type": "json"},
            "time": {"form": "iso"},
            "account": {"sip": "user.code"},
            "fields": {
                "at": "time",
                "quantity": "parts",
                "measure": {"constant": "messages"},
                "called": "to",
            },
            "fingerprint": ["id"],
        }
    )
    event = {"user": {"code": "bob"}, "time": "2026-03-01T11:00:00Z", "parts": 3, "to": "4930", "id": 7}
    found = read(json.dumps(event), rules)
    assert (found.quantity, found.measure, found.account.account_code) == (3, "messages", "bob")
    assert read(json.dumps(event | {"parts": -1}), rules).reason is Reason.QUANTITY_ABSURD
    assert read(json.dumps(event | {"parts": 1.5}), rules).reason is Reason.FIELD_MALFORMED
    assert read("[1]", rules).reason is Reason.NOT_JSON
    assert read('{"a": ', rules).reason is Reason.NOT_JSON
    assert read("[" * 100_000, rules).reason is Reason.NOT_JSON


def test_what_a_record_repeats_does_not_count() -> None:
    rules = mapping(file={"type": "json"}, time={"form": "epoch_s"})
    line = '{"account":"bob","number":"4930","start":1772362800,"answer":1772362805,"end":1772362865,"id":1'
    found = read(line + ',"account":"alice"}', rules)
    assert found.account.account_code == "bob"


@pytest.mark.parametrize("name", built_in_formats())
def test_every_built_in_format_is_a_mapping(name: str) -> None:
    assert load_mapping(name, zone="Europe/Berlin").fingerprint


@pytest.mark.parametrize(
    "header,sentence",
    [
        (b"account;number;start\n", "no column 'answer' (for answered), 'end' (for ended)"),
        (None, "is empty"),
    ],
)
def test_a_header_that_lacks_columns_is_refused_at_once(header: bytes | None, sentence: str) -> None:
    rules = mapping(file={"type": "csv", "delimiter": ";"})
    with pytest.raises(InputRefused, match=r"test\.csv") as refused:
        splitter(rules, header, "test.csv")
    assert sentence in str(refused.value)


CALL = '[account]\nsip="a"\n[fields]\ncalled="a"\nstarted="b"\nended="c"'


@pytest.mark.parametrize(
    "text,sentence",
    [
        ("name = ", "Invalid value"),
        ('name = "x"', "[file]: is missing"),
        (
            'name="x"\nfingerprint=["a"]\n[file]\ntype="csv"\n[account]\nsip="a"\n[fields]\nstarted="b"',
            "[fields] needs called",
        ),
        (
            'name="x"\nfingerprint=["a"]\n[file]\ntype="csv"\n[time]\nzone="Mars/Base"\n' + CALL,
            "there is no time zone 'Mars/Base'",
        ),
        (
            'name="x"\nfingerprint=["a"]\n[file]\ntype="csv"\nquote="x"\n[fields]\ncalled="a"',
            "[file] quote: there is no such key",
        ),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(tmp_path: Any, text: str, sentence: str) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text(text)
    with pytest.raises(InputRefused) as refused:
        load_mapping(str(path))
    assert sentence in str(refused.value)
    assert str(path) in str(refused.value)

"""The switch's own records, good and broken."""

import json
import os
from pathlib import Path

import pytest

from pbxbill.charging.events import Direction
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.esl.cdr_log import ASIDE, CSV_COLUMNS, CdrLog

from .conftest import RECORDINGS

SESSION = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
B_LEG = "6658b380-37a5-4a73-9532-7b930b36ed53"
A_LEG = "fa2f0760-22e6-4a48-a89e-5ef84b410c52"
ANSWERED_US, ENDED_US = 1_795_291_730_159_693, 1_795_291_731_219_723


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_900_000_000 * SECOND_US)


def write_call(folder: Path, **variables: str) -> None:
    """The recorded call, as if it had been authorized."""
    for name in (f"{B_LEG}.cdr.json", f"a_{A_LEG}.cdr.json"):
        data = json.loads((RECORDINGS / name).read_text())
        data["variables"] |= {
            "pbxbill_session": SESSION,
            "pbxbill_caller": A_LEG,
            "pbxbill_dialled": "155512345",
        }
        data["variables"] |= variables
        (folder / name).write_text(json.dumps(data))


def test_a_call_is_one_record_with_the_paid_legs_times(tmp_path: Path, clock: ManualClock) -> None:
    write_call(tmp_path)
    (record,) = CdrLog(str(tmp_path), clock).read(0).records
    assert (record.session_id, record.paid_leg, record.call_id) == (SESSION, B_LEG, A_LEG)
    assert (record.answered_us, record.ended_us) == (ANSWERED_US, ENDED_US)
    assert (record.account_code, record.dialled) == ("acct_1010", "155512345")
    assert (record.direction, record.hangup_cause, record.offline) == (Direction.OUTBOUND, 16, False)


def test_calls_that_are_not_ours_are_left_alone(tmp_path: Path, clock: ManualClock) -> None:
    for path in RECORDINGS.glob("*.cdr.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    reading = CdrLog(str(tmp_path), clock).read(0)
    assert (reading.records, reading.broken) == ((), 0)


def test_a_call_that_passed_without_a_daemon_is_marked(tmp_path: Path, clock: ManualClock) -> None:
    write_call(tmp_path, pbxbill_offline="true", pbxbill_session="01234567-89ab-cdef-0123-456789abcdef")
    (record,) = CdrLog(str(tmp_path), clock).read(0).records
    assert (record.session_id, record.offline) == (SESSION, True)


def test_an_unanswered_call_is_the_callers_record(tmp_path: Path, clock: ManualClock) -> None:
    write_call(tmp_path, answer_uepoch="0", originate_disposition="USER_BUSY", hangup_cause="NORMAL_CLEARING")
    (record,) = CdrLog(str(tmp_path), clock).read(0).records
    assert (record.answered_us, record.paid_leg, record.hangup_cause) == (None, "", 17)


def test_a_call_to_a_did_keeps_its_number_although_it_was_forwarded(
    tmp_path: Path, clock: ManualClock
) -> None:
    write_call(tmp_path)
    path = tmp_path / f"a_{A_LEG}.cdr.json"
    data = json.loads(path.read_text())
    data["variables"] |= {"pbxbill_leg_session": OTHER, "pbxbill_did": "4930123"}
    path.write_text(json.dumps(data))
    records = {record.session_id: record for record in CdrLog(str(tmp_path), clock).read(0).records}
    assert (records[OTHER].direction, records[OTHER].dialled) == (Direction.INBOUND, "4930123")
    assert (records[OTHER].paid_leg, records[SESSION].paid_leg) == (A_LEG, B_LEG)
    assert records[SESSION].dialled == "155512345"


def test_only_records_since_the_moment_are_read(tmp_path: Path, clock: ManualClock) -> None:
    write_call(tmp_path)
    assert len(CdrLog(str(tmp_path), clock).read(ENDED_US).records) == 1
    assert CdrLog(str(tmp_path), clock).read(ENDED_US + SECOND_US).records == ()
    old = (ENDED_US // SECOND_US) - 100
    for path in tmp_path.iterdir():
        os.utime(path, (old, old))
    assert CdrLog(str(tmp_path), clock).read(ENDED_US - SECOND_US).records == (), (
        "old files are not even opened"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"variables": []}',
        b'{"variables": {"pbxbill_session": "' + SESSION.encode() + b'"}}',
        b'{"variables": {"pbxbill_session": "'
        + SESSION.encode()
        + b'", "uuid": "aaaaaaaa-b", "end_uepoch": "x"}}',
        b"\x00\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_broken_file_is_put_aside_and_counted(tmp_path: Path, clock: ManualClock, content: bytes) -> None:
    write_call(tmp_path)
    (tmp_path / "broken.cdr.json").write_bytes(content)
    log = CdrLog(str(tmp_path), clock)
    reading = log.read(0)
    assert (len(reading.records), reading.broken) == (1, 1)
    assert (tmp_path / ASIDE / "broken.cdr.json").exists()
    assert log.read(0).broken == 0


def test_a_file_that_cannot_be_read_stays_and_is_read_the_next_time(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_call(tmp_path)

    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    log = CdrLog(str(tmp_path), clock)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", denied)
        reading = log.read(0)
        assert (reading.records, reading.broken) == ((), 2)
    reading = log.read(0)
    assert ([record.session_id for record in reading.records], reading.broken) == ([SESSION], 0)


def test_a_file_that_is_being_written_is_left_for_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "half.cdr.json"
    path.write_text('{"variables": {"pbxb')
    clock = ManualClock(path.stat().st_mtime_ns // 1000 + SECOND_US)
    assert CdrLog(str(tmp_path), clock).read(0).broken == 0
    assert path.exists()


def test_a_latin1_name_in_a_record_is_tolerated(tmp_path: Path, clock: ManualClock) -> None:
    write_call(tmp_path)
    path = tmp_path / f"{B_LEG}.cdr.json"
    path.write_bytes(path.read_bytes().replace(b'"Outbound Call"', b'"Ren\xe9"').replace(b"\\u00e9", b"\xe9"))
    assert len(CdrLog(str(tmp_path), clock).read(0).records) == 1


def test_one_channels_record_is_found_by_its_name(tmp_path: Path, clock: ManualClock) -> None:
    write_call(tmp_path)
    leg = CdrLog(str(tmp_path), clock).leg(B_LEG)
    assert leg is not None
    assert (leg.answered_us, leg.ended_us) == (ANSWERED_US, ENDED_US)
    assert CdrLog(str(tmp_path), clock).leg("../../etc/passwd") is None
    assert CdrLog("", clock).leg(B_LEG) is None


def csv_line(**values: str) -> str:
    row = {
        "uuid": B_LEG,
        "direction": "outbound",
        "pbxbill_session": SESSION,
        "pbxbill_caller": A_LEG,
        "pbxbill_account": "2001",
        "pbxbill_dialled": "33155512345",
        "pbxbill_offline": "false",
        "start_uepoch": "1",
        "answer_uepoch": str(ANSWERED_US),
        "end_uepoch": str(ENDED_US),
        "hangup_cause": "NORMAL_CLEARING",
        "hangup_cause_q850": "16",
    } | values
    return ",".join(f'"{row.get(name, "")}"' for name in CSV_COLUMNS) + "\n"


def test_lines_of_cdr_csv_are_the_same_records(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "Master.csv").write_text(
        csv_line() + "nonsense\n" + '"unclosed\n' + csv_line(end_uepoch="soon")
    )
    reading = CdrLog(str(tmp_path), clock).read(0)
    assert [(r.session_id, r.answered_us, r.account_code) for r in reading.records] == [
        (SESSION, ANSWERED_US, "2001")
    ]
    assert reading.broken == 3


def test_the_template_we_ship_writes_what_we_read() -> None:
    shipped = (Path(__file__).parents[3] / "freeswitch-conf/autoload_configs/cdr_csv.conf.xml").read_text()
    assert ",".join(f'"${{{name}}}"' for name in CSV_COLUMNS) in shipped


def test_a_folder_that_is_not_there_is_no_disaster(clock: ManualClock) -> None:
    assert CdrLog("/nonexistent", clock).read(0).records == ()
    assert CdrLog("", clock).read(0).records == ()

"""The CDR log as Asterisk writes it: rotated, torn, broken, and with rows that speak of several sessions."""

from pathlib import Path

import pytest

from pbxbill.ami.cdr_log import CHUNK_BYTES, CdrLog, parse_rows
from pbxbill.charging.events import Direction
from pbxbill.errors import InputRefused

S1, S2 = "0198f3a2b1c47d9e8f00112233445566", "0198f3a2b1c47d9e8f00112233445577"


def row(**changes: str) -> str:
    fields = {
        "session": S1,
        "inbound": "",
        "mode": "online",
        "number": "1555",
        "direction": "",
        "uniqueid": "pbx1-1.1",
        "linkedid": "pbx1-1.1",
        "account": "acme",
        "src": "2001",
        "start": "100.000000",
        "answer": "103.000001",
        "end": "110.250000",
        "disposition": "ANSWERED",
        "a": f"{S1}/pbx1-1.2/103.000000",
        "b": "",
        "payer": "",
    } | changes
    return ",".join(f'"{value}"' for value in fields.values())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pbxbill.csv"


def log_of(path: Path, bad: list[int] | None = None) -> CdrLog:
    return CdrLog(
        path, backlog_bytes=1_000_000, on_bad_line=lambda: (bad if bad is not None else []).append(1)
    )


def test_an_answered_call() -> None:
    [record] = parse_rows(row())
    assert (record.session_id, record.paid_leg, record.account_code) == (S1, "pbx1-1.2", "acme")
    assert (record.answered_us, record.ended_us, record.hangup_cause) == (103_000_000, 110_250_000, 16)


def test_an_unanswered_call() -> None:
    [record] = parse_rows(row(a="", answer="0.000000", disposition="BUSY"))
    assert (record.answered_us, record.hangup_cause, record.paid_leg) == (None, 17, "")


def test_calls_that_are_not_ours_are_left_alone() -> None:
    assert parse_rows(row(session="", mode="", a="")) == []


def test_rows_of_a_transfer_are_one_call_and_the_new_leg_another(path: Path) -> None:
    path.write_text(
        row(end="105.000000")
        + "\n"
        + row(a="", disposition="ANSWERED", start="105.0", end="105.1")
        + "\n"
        + row(session=S2, number="1666", start="105.0", end="120.0", b=f"{S2}/pbx1-1.3/106.0")
        + "\n"
    )
    records = {record.session_id: record for record in log_of(path).read()}
    assert (records[S1].answered_us, records[S1].ended_us, records[S1].dialled) == (
        103_000_000,
        120_000_000,
        "1555",
    )
    assert (records[S2].answered_us, records[S2].ended_us, records[S2].dialled) == (
        106_000_000,
        120_000_000,
        "1666",
    )


def test_a_forwarded_did_is_two_calls() -> None:
    text = row(
        session=S2, inbound=f"{S1}/33155", number="441555", a="", b=f"{S2}/pbx1-1.2/103.5", payer="owner"
    )
    trunk, forward = parse_rows(text)
    assert (trunk.session_id, trunk.direction, trunk.dialled) == (S1, Direction.INBOUND, "33155")
    assert (trunk.paid_leg, trunk.answered_us) == ("pbx1-1.1", 103_000_001)
    assert (forward.session_id, forward.direction, forward.account_code) == (S2, Direction.OUTBOUND, "owner")
    assert (forward.paid_leg, forward.answered_us) == ("pbx1-1.2", 103_500_000)


def test_calls_that_nobody_authorized(path: Path) -> None:
    path.write_text(row(session="", mode="unasked", a="/pbx1-1.2/103.0") + "\n")
    [record] = log_of(path).read()
    assert (record.session_id, record.offline, record.answered_us) == ("", True, 103_000_000)


@pytest.mark.parametrize(
    "line",
    [
        "one,two",
        row(session="'; DROP TABLE"),
        row(end=""),
        row(start="yesterday"),
        row(a="nonsense"),
        row(a=f"{S1}/leg/never"),
        row()[:-1],
        row().replace('"2001"', "2001"),
        row(end="99.000000"),
        row(answer="111.000000"),
        row(a=f"{S1}/pbx1-1.2/111.0"),
        row(a=f"{S1}/9/103.0"),
        row(uniqueid="9"),
        row(linkedid="other-1.1"),
        row(a=f"{S1}/other-1.2/103.0"),
        row(uniqueid="pbx1-111.1"),
        # what a caller named "x\n..." makes of a mapping that filters nothing
        ",,unasked,1999,,9v,,,,1,,9999,,/9/1,,victim",
        'victim","2009","100.0","100.0","110.0","ANSWERED","/pbx1-9.8/100.0","","victim"',
        "\x00\x01",
    ],
)
def test_broken_lines_are_kept_aside_and_counted(path: Path, line: str) -> None:
    bad: list[int] = []
    path.write_text(line + "\n" + row() + "\n")
    assert [record.session_id for record in log_of(path, bad).read()] == [S1]
    assert len(bad) == 1
    assert path.with_name("pbxbill.csv.refused").read_text() == line + "\n"


@pytest.mark.parametrize("size", [CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1])
def test_a_line_longer_than_any_record_is_skipped_and_counted(path: Path, size: int) -> None:
    bad: list[int] = []
    log = log_of(path, bad)
    path.write_text(row() + "\n")
    assert len(log.read()) == 1
    with path.open("a") as file:
        file.write("\0" * size)
    assert (log.read(), bad) == ([], []), "nobody knows yet where the line ends"
    with path.open("a") as file:
        file.write("\n" + row(session=S2, a="") + "\n")
    assert [record.session_id for record in log.read()] == [S2]
    assert len(bad) == 1
    assert log.read() == []
    assert {record.session_id for record in CdrLog(path, backlog_bytes=10**8).since(0)} == {S1, S2}
    tail = CdrLog(path, backlog_bytes=size)  # begins in the middle of that line
    assert [record.session_id for record in tail.read()] == [S2]
    assert [record.session_id for record in tail.since(0)] == [S2]


def test_malformed_lines_say_what_is_wrong() -> None:
    with pytest.raises(InputRefused, match="columns"):
        parse_rows('"a","b"')


def test_it_goes_on_where_it_stopped_and_waits_for_a_whole_line(path: Path) -> None:
    log = log_of(path)
    assert log.read() == [], "the file need not be there yet"
    path.write_text(row() + "\n" + row(session=S2)[:20])
    assert len(log.read()) == 1
    assert log.read() == []
    path.write_text(row() + "\n" + row(session=S2, a="") + "\n")
    [record] = log.read()
    assert record.session_id == S2
    assert log.of_session(S1) is not None


def test_a_rotated_file_is_read_from_its_beginning(path: Path) -> None:
    log = log_of(path)
    path.write_text((row() + "\n") * 3)
    log.read()
    path.rename(path.with_name("pbxbill.csv.1"))
    path.write_text(row(session=S2, a="") + "\n")
    assert [record.session_id for record in log.read()] == [S2]
    assert {record.session_id for record in log.since(0)} == {S1, S2}


def test_a_file_that_cannot_be_read_is_read_the_next_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(row() + "\n")
    log = log_of(path)

    def denied(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", denied)
        assert (log.read(), log.since(0)) == ([], [])
    assert len(log.read()) == len(log.since(0)) == 1


def test_old_records_are_not_asked_for(path: Path) -> None:
    path.write_text(row() + "\n" + row(session=S2, a="", end="200.0") + "\n")
    assert [record.session_id for record in log_of(path).since(150_000_000)] == [S2]


def test_of_a_huge_log_the_end_is_read(path: Path) -> None:
    path.write_text((row() + "\n") * 1000 + row(session=S2, a="") + "\n")
    log = CdrLog(path, backlog_bytes=500)
    assert {record.session_id for record in log.read()} == {S1, S2}
    assert path.stat().st_size > 100_000


def test_a_record_of_the_future_is_refused(path: Path) -> None:
    path.write_text(row() + "\n" + row(session=S2, a="", end="200.0") + "\n")
    log = CdrLog(path, backlog_bytes=1_000_000, now_us=lambda: 120_000_000)
    assert [record.session_id for record in log.read()] == [S1]

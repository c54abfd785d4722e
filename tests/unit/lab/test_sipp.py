"""What SIPp's message log tells about each call."""

from lab.sipp import SeenCall, read_messages

ANSWERED = """\
D\tT\t1795317035.368848\tS\t1-11@h\tCSeq:1 INVITE\tINVITE sip:33123@h SIP/2.0
D\tT\t1795317035.369110\tR\t1-11@h\tCSeq:1 INVITE\tSIP/2.0 180 Ringing
D\tT\t1795317035.400000\tR\t1-11@h\tCSeq:1 INVITE\tSIP/2.0 200 OK
D\tT\t1795317035.400100\tS\t1-11@h\tCSeq:1 ACK\tACK sip:h SIP/2.0
D\tT\t1795317036.500000\tR\t1-11@h\tCSeq:2 BYE\tBYE sip:h SIP/2.0
"""
REFUSED = """\
D\tT\t1795317035.000001\tS\t1-5@h\tCSeq:1 INVITE\tINVITE sip:33124@h SIP/2.0
D\tT\t1795317035.000002\tR\t1-5@h\tCSeq:1 INVITE\tSIP/2.0 401 Unauthorized
D\tT\t1795317035.000003\tS\t1-5@h\tCSeq:2 INVITE\tINVITE sip:33124@h SIP/2.0
D\tT\t1795317035.000009\tR\t1-5@h\tCSeq:2 INVITE\tSIP/2.0 403 Forbidden
"""


def test_an_answered_call_that_the_other_side_ended(tmp_path):
    log = tmp_path / "messages.log"
    log.write_text(ANSWERED)
    (call,) = read_messages(log)
    assert call == SeenCall(
        call_id="1-11@h",
        number="33123",
        invited_us=1_795_317_035_368_848,
        status=200,
        ringing_us=1_795_317_035_369_110,
        answered_us=1_795_317_035_400_000,
        ended_us=1_795_317_036_500_000,
    )
    assert call.talked_us == 1_100_000


def test_a_challenge_is_not_the_last_word(tmp_path):
    log = tmp_path / "messages.log"
    log.write_text(REFUSED)
    (call,) = read_messages(log)
    assert (call.status, call.ended_us, call.talked_us) == (403, 1_795_317_035_000_009, None)


def test_a_half_written_line_is_left_for_later(tmp_path):
    log = tmp_path / "messages.log"
    log.write_text(ANSWERED[:200])
    assert [call.number for call in read_messages(log)] == ["33123"]


def test_no_log_is_no_calls(tmp_path):
    assert read_messages(tmp_path / "none.log") == ()

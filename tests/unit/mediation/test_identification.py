"""What a record's account may be named by."""

from pbxbill.mediation.record import Identification


def test_a_caller_id_is_named_only_where_it_would_count() -> None:
    assert str(Identification(account_code="nobody", caller_id="2002")) == "sip 'nobody'"
    assert str(Identification(source_ip="192.0.2.1", caller_id="2002")) == "ip '192.0.2.1', caller_id '2002'"

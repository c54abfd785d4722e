"""What enters with a command is storable in every database, and can be mistaken for nobody else's."""

import pytest

from pbxbill.charging.events import Answer, Authorize, Direction


@pytest.mark.parametrize(
    "sent, kept",
    [
        ("2001", "2001"),
        ("Zoë O'Hara", "Zoë O'Hara"),
        ("20\x0001", "20\ufffd01"),
        ("a\r\nvariable_x: 1", "a\ufffd\ufffdvariable_x: 1"),
        ("\ud800", "\ufffd"),
        ("9" * 500, "9" * 64),
    ],
)
def test_texts_of_a_request(sent: str, kept: str) -> None:
    request = Authorize("s", "switch", sent, Direction.OUTBOUND, sent, sent, 1, sent, sent, sent, sent)
    assert (request.dialled, request.caller) == (kept, kept)
    for identity in (request.account_code, request.source_ip, request.caller_id, request.did):
        assert identity.isprintable()
        assert identity.startswith(kept)
    assert Answer("s", 1, sent).paid_leg.startswith(kept)

"""Which passwords are taken."""

import pytest

from pbxbill.access.passwords import checked_password
from pbxbill.errors import InputRefused


@pytest.mark.parametrize(
    "password", ["seven green bottles", "korrekt pferd batterie", "Tr4vail-en-mer", "ñandú que canta bien"]
)
def test_what_is_taken(password: str) -> None:
    assert checked_password(password, login="anna@example.com", name="Anna") == password


@pytest.mark.parametrize(
    "password",
    [
        "elevenchars",
        "x" * 129,
        "aaaaaaaaaaaaaa",
        "password12345",
        "Passwordadmin1",
        "qwertyuiop123",
        "123456789012",
        "asteriskpbxbill",
        "anna@example.com",
        "anna1234567890",
        "two\nlines of text",
    ],
)
def test_what_is_refused(password: str) -> None:
    with pytest.raises(InputRefused):
        checked_password(password, login="anna@example.com", name="Anna")

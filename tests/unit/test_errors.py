"""check() raises, also where assert would be stripped; the tree has one root."""

import inspect

import pytest

from pbxbill import errors
from pbxbill.errors import InvariantBroken, PbxbillError, check


def test_check_lets_the_truth_pass() -> None:
    check(True, "never shown")


def test_check_says_what_is_broken() -> None:
    with pytest.raises(InvariantBroken, match="the books do not balance"):
        check(False, "the books do not balance")


def test_every_fault_has_the_same_root_and_stands_in_the_tree() -> None:
    classes = [item for _, item in inspect.getmembers(errors, inspect.isclass)]
    faults = [item for item in classes if item.__module__ == errors.__name__]
    assert faults
    for fault in faults:
        assert issubclass(fault, PbxbillError)
        assert fault.__name__ in (errors.__doc__ or "")

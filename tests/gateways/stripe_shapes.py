"""Objects and parameters formed as Stripe's own SDK says: whoever leaves one out, or invents one, is told."""

import re
import sys
import types
from typing import Any, Union, get_args, get_origin

import stripe

Object = dict[str, Any]


def shaped(model: type[stripe.StripeObject], **values: Any) -> Object:
    """An object with every field that the SDK's model of it has; those that may be null are, unless given."""
    known = {
        name: kind
        for name, kind in model.__annotations__.items()
        if not name.startswith("_") and "ClassVar" not in str(kind)
    }
    invented = set(values) - set(known)
    missing = {name for name, kind in known.items() if name not in values and not _may_be_absent(kind)}
    assert not invented, f"{model.__name__} has no {sorted(invented)}"
    assert not missing, f"{model.__name__} needs {sorted(missing)}"
    nulls = {name: None for name, kind in known.items() if name not in values and _may_be_null(kind)}
    return nulls | values


def _may_be_null(kind: Any) -> bool:
    return get_origin(kind) in {Union, types.UnionType} and type(None) in get_args(kind)


def _may_be_absent(kind: Any) -> bool:
    return _may_be_null(kind) or kind is stripe.StripeObject


def unknown_parameter(params: Any, given: object, where: str = "") -> str:
    """The first parameter that the SDK does not know for a request; "" if it knows them all."""
    if isinstance(given, list):
        return next((bad for each in given if (bad := unknown_parameter(params, each, where))), "")
    if not isinstance(given, dict) or params is None:
        return ""
    for name, value in given.items():
        path = f"{where}[{name}]" if where else name
        if name not in params.__annotations__:
            return path
        bad = unknown_parameter(_inner(params, str(params.__annotations__[name])), value, path)
        if bad:
            return bad
    return ""


def empty_parameter(given: object, where: str = "") -> str:
    """The first parameter that is an empty text; "" if none is. In metadata it means that there is none."""
    if isinstance(given, list):
        return next((bad for each in given if (bad := empty_parameter(each, where))), "")
    if not isinstance(given, dict):
        return where if given == "" else ""
    for name, value in given.items():
        bad = empty_parameter(value, f"{where}[{name}]" if where else name) if name != "metadata" else ""
        if bad:
            return bad
    return ""


def _inner(params: Any, kind: str) -> Any:
    """The typed dict that a parameter is made of; None if it is none, such as metadata."""
    module = sys.modules[params.__module__]
    for name in re.findall(r"\w*Params\w+", kind):
        found = getattr(module, name, None)
        if hasattr(found, "__required_keys__"):  # a typed dict, of typing's or of its backport's
            return found
    return None

"""What Schemathesis need not ask of every operation, since it asks it of others. Its command loads this.

It tries every edge of every parameter of every operation. Eighty lists have the same `size`, and more than
two hundred operations the same `Idempotency-Key`; one piece of code reads them, and each edge costs as much
as the first. So the edges of what is described alike are tried on the first operations that have it. Each
operation is still asked as it is meant to be, without its key, with each parameter that it may have, and
with all that is its own.
"""

import json
from collections import Counter, defaultdict

import schemathesis
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario

OPERATIONS = 2
"""Of those that have the same parameter."""
REFUSED, TAKEN = 2, 12
"""Cases of the same kind of one operation: of five wrong types; of thirty words of a list."""

_tried: dict[str, set[str]] = defaultdict(set)
_cases: Counter[tuple[str, str]] = Counter()


@schemathesis.hook
def filter_case(_context: HookContext, case: Case) -> bool:
    """Whether to ask it."""
    data = case.meta.phase.data if case.meta is not None else None
    if case.meta is None or not isinstance(data, CoveragePhaseData):
        return True
    label = case.operation.label
    shape = json.dumps([str(data.parameter_location), data.description, _described(case, data)])
    if _is_read_by_others_too(data):
        operations = _tried[shape]
        if label not in operations and len(operations) >= OPERATIONS:
            return False
        operations.add(label)
    _cases[label, shape] += 1
    most = REFUSED if case.meta.generation.mode is GenerationMode.NEGATIVE else TAKEN
    return _cases[label, shape] <= most


def _is_read_by_others_too(data: CoveragePhaseData) -> bool:
    """An edge of a parameter, or of a field of a body; but each operation does something else for each word
    of an enumeration, and each is asked without what it needs."""
    if data.scenario is CoverageScenario.UNSPECIFIED_HTTP_METHOD:
        return True  # test_schemathesis.py compares the methods of all
    own = (CoverageScenario.MISSING_PARAMETER, CoverageScenario.ENUM_VALUE)
    return data.parameter is not None and data.scenario not in own


def _described(case: Case, data: CoveragePhaseData) -> object:
    """The parameter as the document has it; of a body the field that is tried, or else all of it."""
    operation = case.operation
    for body in operation.body:
        if body.media_type == data.parameter:
            schema = body.definition["schema"]
            _, _, path = (data.location or "").partition("/properties/")
            field = path.split("/")[0] or data.description.partition("'")[2].partition("'")[0]
            return [field, schema.get("properties", {}).get(field, schema)]
    for parameters in (operation.path_parameters, operation.headers, operation.query):
        for parameter in parameters:
            if parameter.name == data.parameter:
                return [parameter.name, parameter.definition.get("schema")]
    return data.parameter

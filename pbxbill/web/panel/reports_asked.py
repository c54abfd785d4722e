"""Which report an address means, and what it asks of it; what all pages of reports begin with."""

from flask import abort, request

from pbxbill.errors import InputRefused
from pbxbill.reports.catalogue import may_have, report_named
from pbxbill.reports.report import Report
from pbxbill.web.front import Front
from pbxbill.web.report_pages import Query, query_of, today_of

REPORT = "<string(maxlength=32):report>"


def report_of(front: Front, name: str) -> Report:
    """A report that the reader may have; 404 for any other."""
    try:
        found = report_named(name, front.scope)
    except InputRefused:
        abort(404)
    if not may_have(front.actor, found.name):
        abort(404)
    return found


def asked_query(front: Front, report: Report) -> Query:
    """What the address asks for."""
    return query_of(report, front.scope, request.args, today_of(front))

"""The journal as a file for an accounting program, sent as it is read: by the panel and by the API."""

from collections.abc import Iterator

from flask import Response, stream_with_context

from pbxbill.billing.books.accounting_export import Exported
from pbxbill.billing.books.asked_books import Books, Connect, Form, exported_lines

MIMETYPES = {Form.CSV: "text/csv", Form.BEANCOUNT: "text/plain"}
CHUNK = 500
"""Lines that are sent together."""


def journal_file(connect: Connect, books: Books, asked: Exported, form: Form) -> Response:
    """Some days of an issuer's journal."""
    name = f"journal-{books.issuer}-{asked.first}-{asked.last}.{form.value}"
    return Response(
        stream_with_context(_chunks(exported_lines(connect, books, asked, form))),
        mimetype=MIMETYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{_plain(name)}"'},
    )


def _chunks(lines: Iterator[str]) -> Iterator[str]:
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(held) >= CHUNK:
            yield "".join(held)
            held.clear()
    yield "".join(held)


def _plain(name: str) -> str:
    return "".join(x if x.isascii() and (x.isalnum() or x in "-._") else "-" for x in name)

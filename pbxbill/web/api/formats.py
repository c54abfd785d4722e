"""As what reports, documents and lists are had: the formats of files."""

from pydantic import BaseModel, Field

from pbxbill.billing.profiles import FORMATS as INVOICE_FORMATS
from pbxbill.notify.sending import MEDIA_TYPES as OF_DOCUMENTS
from pbxbill.reports.rendering import FORMATS as REPORT_FORMATS
from pbxbill.reports.rendering import MEDIA_TYPES, MOST_ROWS
from pbxbill.web.api.api import Api
from pbxbill.web.api.standing import TAG
from pbxbill.web.front import for_users

ABOUT = {"pdf": "the document", "xml": "the structured invoice, EN 16931", "csv": "its calls"}


class FormatShown(BaseModel):
    """One format."""

    name: str
    media_type: str
    about: str = ""
    most_rows: int | None = Field(default=None, description="What is longer is cut off; null: nothing is.")


class Formats(BaseModel):
    """Of each kind of file."""

    reports: list[FormatShown]
    invoices: list[FormatShown] = Field(description="An account gets those that its billing profile names.")


def formats(api: Api) -> None:
    """Formats."""

    @api.get("/formats", Formats, TAG)
    @for_users
    def list_formats() -> Formats:
        """As what reports are made, and invoices sent."""
        return Formats(
            reports=[
                FormatShown(name=x, media_type=MEDIA_TYPES[x], most_rows=MOST_ROWS.get(x))
                for x in REPORT_FORMATS
            ],
            invoices=[
                FormatShown(name=x, media_type=OF_DOCUMENTS[x], about=ABOUT[x]) for x in INVOICE_FORMATS
            ],
        )

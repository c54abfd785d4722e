"""HTML and CSS to PDF/A-3 by WeasyPrint, with nothing fetched but what is handed over.

A Typesetter keeps its fonts and parsed style sheets between documents. It is used by pdf.py for what we wrote
ourselves, and by worker.py, in a process with limits, for what others wrote.
"""

import hashlib
import logging
import shutil
import weakref
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from pbxbill.billing.render.html import FONT_FILES, LOGO_URL, font_file, rules_of_paper
from pbxbill.billing.render.logo import Logo, checked_logo
from pbxbill.errors import ConfigurationError, InputRefused

if TYPE_CHECKING:
    from weasyprint import CSS

DATA_URI_MAX_CHARACTERS = 1_400_000
STYLE_SHEETS_KEPT = 16
WARNINGS_KEPT = 50
XML_NAME = "factur-x.xml"
_SRGB = "srgb"

_FONT_URLS = {f"asset:font/{file}" for files in FONT_FILES.values() for file, _weight in files}


@dataclass(frozen=True, slots=True)
class Job:
    """One document to set: everything that may be read for it."""

    html: str
    css: str
    logo: Logo | None = None
    xml: bytes | None = None
    """The invoice as EN 16931 sees it, put into the PDF."""
    created_on: str = "2000-01-01"
    """The document's day: the same document makes the same bytes, whenever it is set."""


@dataclass(frozen=True, slots=True)
class Sheets:
    """A PDF, and what of the template could not be done as it says."""

    pdf: bytes
    pages: int
    warnings: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """URLs that it wanted fetched."""


class Typesetter:
    """Fonts and style sheets, ready for the next document. For one thread at a time."""

    def __init__(self) -> None:
        try:
            from weasyprint.text.fonts import FontConfiguration
        except OSError as fault:  # it loads Pango when it is imported
            raise ConfigurationError(
                "PDFs need Pango; as root: apt-get install --no-install-recommends "
                "libpangoft2-1.0-0 libharfbuzz-subset0"
            ) from fault

        self._fonts: FontConfiguration = FontConfiguration()
        self._styles: OrderedDict[str, _Style] = OrderedDict()
        self._paper = self._parsed(rules_of_paper(), None).sheet
        # WeasyPrint forgets its copies of the fonts where a process ends before it.
        weakref.finalize(self, shutil.rmtree, self._fonts._folder, ignore_errors=True)
        self._colours = _ColourProfile()

    def set(self, job: Job) -> Sheets:
        """The document as PDF/A-3b."""
        from weasyprint import HTML

        style = self._style(job)
        refused = list(style.refused)
        fetcher = _fetcher(job.logo, refused)
        with _warnings_of_weasyprint() as warnings:
            document = HTML(string=job.html, base_url="asset:", url_fetcher=fetcher).render(
                font_config=self._fonts,
                stylesheets=[self._paper, style.sheet],
                color_profiles={_SRGB: self._colours},
                output_intent=_SRGB,
                pdf_variant="pdf/a-3b",
            )
            if job.xml is not None:
                _name_the_xml(document.metadata)
            pdf = document.write_pdf(
                pdf_variant="pdf/a-3b",
                output_intent="given",  # with the profile above, else WeasyPrint opens its own each time
                pdf_identifier=_identifier(job),
                attachments=[] if job.xml is None else [_attachment(job)],
            )
        found = tuple([*style.warnings, *warnings][:WARNINGS_KEPT])
        return Sheets(pdf, len(document.pages), found, tuple(dict.fromkeys(refused)))

    def _style(self, job: Job) -> "_Style":
        logo = b"" if job.logo is None else job.logo.content
        key = hashlib.sha256(b"\0".join((job.css.encode(), logo))).hexdigest()
        if key not in self._styles:
            self._styles[key] = self._parsed(job.css, job.logo)
        self._styles.move_to_end(key)
        if len(self._styles) > STYLE_SHEETS_KEPT:
            self._styles.popitem(last=False)
        return self._styles[key]

    def _parsed(self, css: str, logo: Logo | None) -> "_Style":
        from weasyprint import CSS

        refused: list[str] = []
        fetcher = _fetcher(logo, refused)
        with _warnings_of_weasyprint() as warnings:
            sheet = CSS(string=css, base_url="asset:", url_fetcher=fetcher, font_config=self._fonts)
        return _Style(sheet, tuple(warnings), tuple(refused))


class _Style(NamedTuple):
    """A parsed style sheet, and what was wrong with it."""

    sheet: "CSS"
    warnings: tuple[str, ...]
    refused: tuple[str, ...]


class _ColourProfile:
    """The profile that colours are meant in, as WeasyPrint asks for it.

    WeasyPrint's own class would open its file for each document, leave it open, and write it out anew with
    other bytes each time.
    """

    name = "sRGB2014"
    src = "sRGB2014.icc"
    rendering_intent = "relative-colorimetric"
    components = (("r",), ("g",), ("b",))

    def __init__(self) -> None:
        import weasyprint.pdf

        self.content = (Path(weasyprint.pdf.__file__).parent / self.src).read_bytes()
        self.pdf_reference: object = None
        """Where it is in the document that is being written."""


def _identifier(job: Job) -> bytes:
    parts = (job.html.encode(), job.css.encode(), job.logo.content if job.logo else b"", job.xml or b"")
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32].encode()


def _attachment(job: Job) -> Any:
    from weasyprint import Attachment

    day = datetime.fromisoformat(job.created_on).replace(tzinfo=UTC)
    return Attachment(
        string=job.xml,
        name=XML_NAME,
        description="Factur-X invoice",
        relationship="Alternative",  # the same invoice in another form, as ISO 32000-2 has it
        created=day,
        modified=day,
        url_fetcher=_fetcher(None, []),
    )


def _name_the_xml(metadata: Any) -> None:
    """Say in the PDF's metadata what the XML inside is, in the one rdf:RDF that PDF/A allows."""
    from lxml import etree

    schema = etree.fromstring(_xmp_of_factur_x())
    plain = metadata.generate_rdf_metadata

    def generate(variant: str, version: int, conformance: str) -> bytes:
        described = etree.fromstring(plain(variant, version, conformance))
        described.extend(list(schema))
        made: bytes = etree.tostring(described, encoding="utf-8")
        return made

    metadata.generate_rdf_metadata = generate


def _xmp_of_factur_x() -> bytes:
    """The extension schema that the format's keeper ships with its library, for our profile."""
    import facturx

    text = (Path(facturx.__file__).parent / "xmp" / "Factur-X_extension_schema.xmp").read_text("utf-8")
    text = text.replace(
        "<fx:ConformanceLevel>BASIC</fx:ConformanceLevel>",
        "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>",
    )
    return text.encode()


@contextmanager
def _warnings_of_weasyprint() -> Iterator[list[str]]:
    """What WeasyPrint logs about a template, as a list; and nothing of it in our log."""
    found: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(found) < WARNINGS_KEPT:
                found.append(record.getMessage()[:300])

    logger = logging.getLogger("weasyprint")
    handler = Keeping(logging.WARNING)
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield found
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)


def _fetcher(logo: Logo | None, refused: list[str]) -> Any:
    """What answers each URL of a document: our fonts, its logo, images that it holds. Never net or disk."""
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    class AssetFetcher(URLFetcher):  # type: ignore[misc]  # WeasyPrint has no types
        def __init__(self) -> None:
            # The parent's initialisation would put in handlers for http, ftp and file.
            self._fail_on_errors = False

        def fetch(self, url: str, _headers: object = None) -> Any:
            if url == LOGO_URL and logo is not None:
                return URLFetcherResponse(url, logo.content, {"Content-Type": logo.media_type})
            if url in _FONT_URLS:
                file = font_file(url.removeprefix("asset:font/"))
                return URLFetcherResponse(url, file.read_bytes(), {"Content-Type": "font/ttf"})
            if url[:5].lower() == "data:":
                image = _image_of(url)
                return URLFetcherResponse("data:", image.content, {"Content-Type": image.media_type})
            if len(refused) < WARNINGS_KEPT:
                refused.append(url[:200])
            raise InputRefused(f"nothing is fetched but the logo: {url[:100]}")

        def open(self, url: Any, *_rest: object) -> Any:
            return self.fetch(url if isinstance(url, str) else url.full_url)

    return AssetFetcher()


def _image_of(url: str) -> Logo:
    """An image in a data: URI, held to what a logo is held to."""
    if len(url) > DATA_URI_MAX_CHARACTERS:
        raise InputRefused("an image in the text is too large")
    head, comma, content = url[5:].partition(",")
    if not comma:
        raise InputRefused("a data: URI without data")
    plain = unquote_to_bytes(content)
    try:
        return checked_logo(a2b_base64(plain) if head.endswith(";base64") else plain)
    except Base64Error as fault:
        raise InputRefused(f"a data: URI that is no base64: {fault}") from None

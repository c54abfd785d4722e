"""A template as files of a folder, which is how people write one: options, html, css and a logo."""

import json
from dataclasses import asdict
from pathlib import Path

from pbxbill.billing.render.html import built_in_css, built_in_html
from pbxbill.billing.render.logo import Logo, checked_logo
from pbxbill.billing.render.template import Template, template_from_mapping
from pbxbill.errors import InputRefused
from pbxbill.written_toml import TOMLDecodeError, read_toml

OPTIONS, HTML, CSS = "template.toml", "document.html", "document.css"
LOGOS = ("logo.svg", "logo.png", "logo.jpg", "logo.jpeg")
FILE_MAX_BYTES = 1_500_000


def read_folder(folder: Path) -> tuple[Template, Logo | None]:
    """The template that a folder holds; each file may be missing. InputRefused says what is wrong."""
    known = {OPTIONS, HTML, CSS, *LOGOS}
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if not names & known:
        raise InputRefused(f"{folder} has none of {OPTIONS}, {HTML}, {CSS}, {', '.join(LOGOS)}")
    content = _options(folder)
    for key, name in (("html", HTML), ("css", CSS)):
        if name in names:
            if key in content:
                raise InputRefused(f"{OPTIONS} has {key!r} and there is {name} too; keep one of them")
            content[key] = _text(folder / name)
    logos = [name for name in LOGOS if name in names]
    if len(logos) > 1:
        raise InputRefused(f"{folder} has {' and '.join(logos)}; keep one of them")
    logo = checked_logo(_bytes(folder / logos[0])) if logos else None
    return template_from_mapping(content), logo


def _options(folder: Path) -> dict[str, object]:
    path = folder / OPTIONS
    if not path.exists():
        return {}
    try:
        return read_toml(_text(path))
    except TOMLDecodeError as fault:
        raise InputRefused(f"{OPTIONS}: {fault}") from None


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputRefused(f"{path.name} is no text in UTF-8") from None


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise InputRefused(f"{path.name} is larger than {FILE_MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as fault:
        raise InputRefused(f"{path.name} cannot be read: {fault.strerror}") from None


def write_folder(folder: Path, template: Template, logo: Logo | None) -> list[Path]:
    """The files of a template, to be changed; markup that it does not have is the built-in one's."""
    written = {OPTIONS: _toml(template).encode(), HTML: (template.html or built_in_html()).encode()}
    style = template.css if template.html else f"{built_in_css()}\n{template.css}"
    written[CSS] = style.encode()
    if logo is not None:
        written[f"logo.{logo.media_type.removeprefix('image/').partition('+')[0]}"] = logo.content
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in written:
            if (folder / name).exists():
                raise InputRefused(f"{folder / name} is there already; name an empty folder")
        for name, content in written.items():
            (folder / name).write_bytes(content)
    except OSError as fault:
        raise InputRefused(f"{folder} cannot be written: {fault.strerror}") from None
    return [folder / name for name in written]


def _toml(template: Template) -> str:
    """The options as TOML: its strings are JSON's, as far as we write them."""
    lines = [f"font = {_value(template.font)}"]
    for name, part in (("colours", asdict(template.colours)), ("layout", asdict(template.layout))):
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in part.items())]
    for language, texts in template.texts.items():
        lines += ["", f"[texts.{language}]", *(f"{key} = {_value(value)}" for key, value in texts.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)

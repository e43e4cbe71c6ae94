"""The page: a template, a style sheet, a script and Vega-Lite in one file, which needs no other file.

The Content-Security-Policy allows the scripts and the style sheet by their hashes and forbids everything else: the page
can make no request, and no text from data can be run. By default, Vega compiles its expressions with ``eval``; the page
makes it interpret them instead.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from functools import cache
from importlib import resources

import jinja2
import msgspec
from markupsafe import Markup

from uda_assets.report.content import Content, moment_text, window_text

_WRAPPED = "(() => {{\n{script}\n}})();"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render(content: Content, charting: str) -> str:
    """Return the report as HTML.

    Args:
        content: The content of the report.
        charting: The script that draws charts, from :func:`uda_assets.report.vega.charting_script`.
    """
    style = _file("report.css")
    scripts = [_embeddable(_WRAPPED.format(script=charting)), _embeddable(_file("report.js"))]
    return _template().render(
        content=content,
        data=Markup(embedded_json(content.charted)),  # noqa: S704 - escaped by the function
        style=Markup(style),  # noqa: S704 - our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own file, and Vega's
        policy=_policy(style, scripts),
    )


def embedded_json(value: object) -> str:
    """Return JSON that is safe inside an HTML element: nothing in it can end the element."""
    text = msgspec.json.encode(value).decode()
    return re.sub("[<>&\u2028\u2029]", lambda match: _ESCAPES[match.group()], text)


def _embeddable(script: str) -> str:
    """Return the script without character sequences that would end its element or change its hash in a browser."""
    # A browser normalizes line ends before it hashes the script.
    script = script.replace("\r\n", "\n").replace("\r", "\n")
    # In JavaScript, these sequences only occur in strings and regular expressions.
    return re.sub(r"<(?=/script|!--)", r"\\x3C", script, flags=re.IGNORECASE)


def _policy(style: str, scripts: list[str]) -> str:
    scripts_allowed, style_allowed = " ".join(map(policy_hash, scripts)), policy_hash(style)
    return (
        f"default-src 'none'; script-src {scripts_allowed}; style-src {style_allowed}; base-uri 'none'; "
        "form-action 'none'"
    )


def policy_hash(text: str) -> str:
    """Return the hash with which a Content-Security-Policy allows a script or a style sheet."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    # Everything is escaped, except what `render` marks as safe.
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": lambda value: "–" if value is None else f"{value:,}",
        "share": _share,
        "moment": moment_text,
        "window": lambda window: window_text(window.since, window.until),
        "iso": _iso,
    }
    return environment.from_string(_file("report.html.j2"))


def _share(part: int, whole: int) -> str:
    """Return a share in percent; it is only rounded to 0 % or 100 % if it is exactly that."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.01:
        return "<0.01 %"
    if 99.99 < percent < 100:
        return ">99.99 %"
    return f"{percent:.2f}".rstrip("0").rstrip(".") + " %"


def _iso(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else ""

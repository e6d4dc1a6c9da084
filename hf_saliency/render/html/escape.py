"""Strings from a text, a title or a label on their way into HTML: characters made harmless, then escaped."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from hf_saliency.render.passage import visible

# Halves of a character, which no file can hold, and control characters, which HTML forbids.
_FORBIDDEN = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")


def clean(text: str) -> str:
    """A label or a title with a sign for each character that would not be seen; a line break stays one."""
    return harmless("\n".join(visible(line) for line in text.split("\n")))


def harmless(text: str) -> str:
    """A string as it is, but for characters that HTML cannot hold."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def escaped(text: str) -> str:
    """A harmless string as the content of an element or of a quoted attribute."""
    return html.escape(harmless(text), quote=True)


def data(value: Any) -> str:
    """JSON that nothing in can end the element that it stands in: ASCII, without ``<``, ``>`` and ``&``."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

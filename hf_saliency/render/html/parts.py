"""Parts: text and data that are safe in a page, and its assets: TextualHeatmap's files and our layer over them."""

from __future__ import annotations

import functools
import html
import importlib.metadata
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_saliency.errors import SaliencyError
from hf_saliency.render.passage import visible

# Halves of a character, which no file can hold, and control characters, which HTML forbids.
_FORBIDDEN = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")


def clean(text: str) -> str:
    """A label or a title with a sign for each invisible character; line breaks are kept."""
    return harmless("\n".join(visible(line) for line in text.split("\n")))


def harmless(text: str) -> str:
    """A string with replacement characters for all characters that HTML cannot contain."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def escaped(text: str) -> str:
    """A string, made harmless and escaped for an element or a quoted attribute."""
    return html.escape(harmless(text), quote=True)


def data(value: Any) -> str:
    """JSON that cannot end the element around it: ASCII, without ``<``, ``>`` and ``&``."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


PACKAGE = "textualheatmap"


@dataclass(frozen=True)
class Assets:
    """Texts that go into a page unchanged: those of TextualHeatmap, and our layer over them."""

    heatmap_script: str
    heatmap_style: str
    notice: str  # TextualHeatmap's licence, which must be included in copies
    script: str
    style: str


@functools.cache
def assets() -> Assets:
    """Read the assets; :class:`SaliencyError` if TextualHeatmap is not installed.

    The package itself is not imported: it imports IPython, which a page does not need.
    """
    here = Path(__file__).parent
    try:
        installed = importlib.metadata.distribution(PACKAGE)
        theirs = Path(str(installed.locate_file(f"{PACKAGE}/web_assets")))
        texts = Assets(
            heatmap_script=(theirs / "textual_heatmap.js").read_text(encoding="utf-8"),
            heatmap_style=(theirs / "textual_heatmap.css").read_text(encoding="utf-8"),
            notice=f"{PACKAGE} {installed.version}\n\n{installed.read_text('LICENSE.txt') or 'MIT licence'}",
            script=(here / "page.js").read_text(encoding="utf-8"),
            style=(here / "page.css").read_text(encoding="utf-8"),
        )
    except (importlib.metadata.PackageNotFoundError, OSError) as error:
        raise SaliencyError(
            "pages and notebooks are drawn with TextualHeatmap, which is not installed: "
            "pip install 'hf-saliency[textualheatmap]'."
        ) from error
    for text in (texts.heatmap_script, texts.heatmap_style, texts.script, texts.style):
        assert "</s" not in text.lower(), "an asset would end its own element"
    return texts

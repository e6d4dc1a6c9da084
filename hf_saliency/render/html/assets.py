"""Assets: what a page is made of, TextualHeatmap's own script and style, and the layer over them."""

from __future__ import annotations

import functools
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from hf_saliency.errors import SaliencyError

PACKAGE = "textualheatmap"


@dataclass(frozen=True)
class Assets:
    """Texts that go into a page as they are.

    Parameters
    ----------
    heatmap_script, heatmap_style
        TextualHeatmap's.
    notice
        Its licence, which asks to be kept with copies.
    script, style
        The layer over them.
    """

    heatmap_script: str
    heatmap_style: str
    notice: str
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
        found = Assets(
            heatmap_script=(theirs / "textual_heatmap.js").read_text(encoding="utf-8"),
            heatmap_style=(theirs / "textual_heatmap.css").read_text(encoding="utf-8"),
            notice=f"{PACKAGE} {installed.version}\n\n{installed.read_text('LICENSE.txt') or 'MIT licence'}",
            script=(here / "page.js").read_text(encoding="utf-8"),
            style=(here / "page.css").read_text(encoding="utf-8"),
        )
    except (importlib.metadata.PackageNotFoundError, OSError) as error:
        raise SaliencyError(
            "pages and notebooks are drawn with TextualHeatmap, which is not installed: "
            "pip install 'hf-saliency[page]'."
        ) from error
    for text in (found.heatmap_script, found.heatmap_style, found.script, found.style):
        assert "</s" not in text.lower(), "an asset would end its own element"
    return found

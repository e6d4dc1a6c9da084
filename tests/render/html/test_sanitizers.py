"""Our views in notebooks that remove untrusted elements: the text stays readable."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from handmade import SENTENCE, pair, saliency_map

from hf_saliency.maps.saliency_maps import SaliencyMaps
from hf_saliency.render.html.page import page

# Taken from the lists of JupyterLab, and of bleach as nbconvert calls it: no iframe, no script, no style sheet.
TAGS = set(
    "a abbr b bdi blockquote br caption code dd details div dl dt em h1 h2 h3 h4 hr i img li ol p pre s small span "
    "strong sub summary sup table tbody td th thead tr u ul".split()
)
ATTRIBUTES = {"dir", "lang", "title", "colspan", "rowspan", "open"}
STYLES = set(
    "background-color border border-radius color font-style font-weight line-height margin padding text-align "
    "text-decoration".split()
)
DROPPED = {"script", "style", "textarea", "option"}  # removed together with their content


class Sanitized(HTMLParser):
    """HTML reduced to the lists above; the text of a removed element stays unless it is in ``DROPPED``."""

    def __init__(self, html: str, *, styles: bool) -> None:
        super().__init__()
        self.styles = styles
        self.html = self.text = ""
        self.painted: list[str] = []
        self._inside = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside += tag in DROPPED
        if tag not in TAGS:
            return
        kept = {name: value for name, value in attrs if name in ATTRIBUTES}
        declared = [part.split(":", 1) for part in (dict(attrs).get("style") or "").split(";") if ":" in part]
        style = ";".join(f"{name}:{value}" for name, value in declared if name.strip() in STYLES)
        if self.styles and style:
            kept["style"] = style
            self.painted.append(style)
        self.html += f"<{tag}{''.join(f' {name}={value!r}' for name, value in kept.items())}>"

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag in DROPPED
        self.html += f"</{tag}>" * (tag in TAGS)

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.html += data
            self.text += data


MAP = saliency_map(SENTENCE, targets=[5, 9])
VIEWS: dict[str, Any] = {
    "map": MAP,
    "conversation": pair(),
    "maps": SaliencyMaps([MAP, saliency_map("another text", targets=[0])]),
    "page": page([MAP, saliency_map(SENTENCE, targets=[5], signed=True, method="input_x_gradient")]),
}


@pytest.mark.parametrize("styles", [True, False])
@pytest.mark.parametrize("name", VIEWS)
def test_the_text_stays_readable(name: str, styles: bool) -> None:
    view = VIEWS[name]
    left = Sanitized(view._repr_html_(), styles=styles)
    words = {"conversation": "question: one two", "maps": "another text"}.get(name, SENTENCE)
    assert words in " ".join(left.text.split())
    assert "iframe" not in left.html
    assert "function" not in left.text
    if name == "map":  # either both ink and background are kept, or neither
        inked = [style for style in left.painted if "background-color" in style]
        assert bool(inked) == styles
        assert all("color" in style for style in left.painted[:1])


def test_a_page_says_what_it_shows_and_where() -> None:
    left = Sanitized(VIEWS["page"]._repr_html_(), styles=True).text
    assert "depends most on" in left
    assert "The page itself is shown in trusted notebooks." in left
    assert "gradient norm for 2 targets" in left

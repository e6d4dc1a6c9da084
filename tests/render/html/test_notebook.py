"""Maps in a notebook: the output of show() through TextualHeatmap."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from handmade import PIECES, SENTENCE, saliency_map

import hf_saliency as hs
from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import show as showing
from hf_saliency.render.html import notebook as module


class Notebook:
    """A display that works like Jupyter's: an update replaces the output of its handle."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def display(self, value: Any, *, display_id: bool = False) -> Any:
        place = len(self.shown)
        self.shown.append(value)
        notebook = self

        class Handle:
            def update(self, value: Any) -> None:
                notebook.shown[place] = value

        return Handle() if display_id else None


def displayed(
    monkeypatch: pytest.MonkeyPatch, given: SaliencyMap | Sequence[SaliencyMap], **options: Any
) -> str:
    """Return the HTML in a notebook after show()."""
    import IPython

    notebook = Notebook()
    monkeypatch.setattr(IPython.display, "display", notebook.display)
    monkeypatch.setattr(showing, "_in_notebook", lambda: True)
    hs.show(given, viewer="textual_heatmap", **options)
    assert len(notebook.shown) == 3
    return "".join(value.data for value in notebook.shown)


def call(html: str, name: str) -> list[Any]:
    """Return the arguments of a JavaScript call in the HTML."""
    (found,) = re.findall(rf"window\.{name}\(((?:(?!</script>).)*)\);</script>", html)
    arguments: list[Any] = json.loads(f"[{found}]")
    return arguments


def test_it_is_textualheatmap_with_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    heat = saliency_map(SENTENCE)
    html = displayed(monkeypatch, [heat, saliency_map(SENTENCE, method="saliency", seed=1)], select="grammar")
    settings, data = call(html, "setDataTextualHeatmap")
    assert data[0] == heat.to_textual_heatmap()
    assert settings["facetTitles"] == ["gradient norm", "saliency"]
    assert call(html, "highlightTextualHeatmap")[1] == SENTENCE.split().index("grammar")
    assert "class TextualHeatmapFacet" in html
    (start,) = re.findall(r"setupTextualHeatmap\((\{.*?\})\);</script>", html)
    assert json.loads(start) == settings


def test_nothing_from_the_text_ends_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "</script><script>alert(1)</script>"
    html = displayed(monkeypatch, saliency_map(text), title=text)
    assert html.count("<script>") == html.count("</script>") == 4
    assert call(html, "setDataTextualHeatmap")[1][0][0]["token"] == text
    assert call(html, "setDataTextualHeatmap")[0]["facetTitles"] == [text]


def test_different_tokens_are_compared_by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    html = displayed(monkeypatch, [saliency_map(SENTENCE), saliency_map(SENTENCE, split=PIECES)])
    one, other = call(html, "setDataTextualHeatmap")[1]
    words = SENTENCE.split()
    for facet in (one, other):
        units = [token for token in facet if not token.get("format")]
        assert [token["token"] for token in units] == words
        assert {len(token["heat"]) for token in units} == {len(words)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (saliency_map(SENTENCE, signed=True), "is signed"),
        (saliency_map(SENTENCE, targets=[1]), "needs a complete sweep"),
        ([saliency_map("a b"), saliency_map("b c")], "do not share their text"),
        ([], "takes a SaliencyMap or a list of them"),
        (7, "not the int 7"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_what_textualheatmap_cannot_show_is_refused(
    given: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "_in_notebook", lambda: True)
    with pytest.raises(SaliencyError, match=message):
        hs.show(given, viewer="textual_heatmap")


def test_html_that_is_not_known_is_not_displayed() -> None:
    class Shown:
        data = "<p>"

    with pytest.raises(SaliencyError, match="writes HTML in a different format from 1.2"):
        module._safe(Shown())

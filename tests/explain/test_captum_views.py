"""A map in Captum's views: its page of highlighted text and its plots."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import matplotlib
import numpy as np
import pytest
import sample_maps as maps
import torch
from captum.attr import visualization

from hf_saliency.errors import SaliencyError
from hf_saliency.explain.captum_views import captum_records, llm_attribution_result
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap

HOSTILE = '<script>alert("1")</script>&amp;<s>'


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visualization, "display", lambda html: None)  # it prints the page
    matplotlib.use("Agg")


class Page(HTMLParser):
    """A parser that collects the tags of a page and the text of its cells."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def page(*records: visualization.VisualizationDataRecord) -> str:
    return str(visualization.visualize_text(records, legend=False).data)


def hostile() -> SaliencyMap:
    """A map whose words, target, contrast and prediction are all markup."""
    places = [(0, 9), (9, 25), (25, len(HOSTILE) - 3), (len(HOSTILE) - 3, len(HOSTILE))]
    row = TargetRow(HOSTILE, 0, 1.5, masked=True, against="<i>", predictions=(Prediction("<b>", 1, 0.25),))
    return SaliencyMap(
        texts=(HOSTILE,),
        tokens=maps.of(HOSTILE, places).tokens,
        targets=(row,),
        scores=np.array([[1.0, -2.0, 0.0, 0.5]]),
        method="own",
        signed=True,
    )


# Records


def test_the_fields_of_a_record() -> None:
    heat = maps.sweep(convergence_delta=np.arange(6.0))
    records = captum_records(heat)
    assert len(records) == 6
    record = records[3]
    np.testing.assert_allclose(record.word_attributions, np.arange(8) / 7)
    assert record.raw_input_ids == ["[CLS]", "an", "un", "-", "believ", "able", "end", "[SEP]"]
    assert (record.pred_class, record.pred_prob) == ("BELIEV", 0.5)
    assert (record.true_class, record.attr_class) == ("believ", "believ")
    assert record.attr_score == 4 * sum(range(8))
    assert record.convergence_score == 3.0
    assert captum_records(maps.sweep())[3].convergence_score == 0.0


@pytest.mark.parametrize(("how", "largest"), [("row_max", 1.0), ("row_sum", 7 / 28), ("none", 14.0)])
def test_normalisation(how: Any, largest: float) -> None:
    record = captum_records(maps.sweep(), normalize=how)[1]
    assert float(record.word_attributions.max()) == pytest.approx(largest)
    with pytest.raises(SaliencyError, match="row_max"):
        captum_records(maps.sweep(), normalize="max")


def test_what_is_not_known() -> None:
    row = TargetRow("yes", None, 1.5)
    (record,) = captum_records(maps.sweep(targets=(row,), scores=np.ones((1, 8))))
    assert (record.true_class, record.pred_class) == ("", "not known")
    assert "not known (nan)" in Page(page(record)).text
    read = TargetRow("next", 2, 1.5)  # not masked, so that the token may differ from the answer
    (record,) = captum_records(maps.sweep(targets=(read,), scores=np.ones((1, 8))))
    assert record.true_class == ""


def test_captums_page_shows_markup_and_does_not_read_it() -> None:
    (record,) = captum_records(hostile())
    shown = Page(page(record))
    assert {"script", "i", "s"}.isdisjoint(shown.tags)
    assert shown.tags.count("b") == 4  # from Captum itself
    cells = re.sub(r"\s+", " ", shown.text)
    for part in ("<script>a", 'lert("1")</scrip', "&amp;", "<s>", HOSTILE + " against <i>", "<b> (0.25)"):
        assert part in cells


def test_a_page_without_escapes_would_be_read() -> None:
    """Show that the test above can fail."""
    (record,) = captum_records(hostile())
    record.raw_input_ids = list(hostile().labels)
    assert "script" in Page(page(record)).tags


def test_the_colours_of_captum_follow_the_scores() -> None:
    colours = re.findall(r"background-color: (hsl\([^)]*\))", page(captum_records(hostile())[0]))
    assert colours == ["hsl(120, 75%, 75%)", "hsl(0, 75%, 60%)", "hsl(0, 75%, 100%)", "hsl(120, 75%, 88%)"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("view", [captum_records, llm_attribution_result])
def test_captum_has_no_colour_for_nan(view: Any, value: float) -> None:
    scores = np.array(maps.sweep().scores)
    scores[2, 2] = value
    with pytest.raises(SaliencyError, match=r"no colour for NaN or infinity.*hs.figure"):
        view(maps.sweep(scores=scores))


# LLM attribution result


def test_the_matrix_of_a_result() -> None:
    heat = maps.sweep()
    result = llm_attribution_result(heat)
    assert result.input_tokens == list(heat.labels)
    assert result.output_tokens == ["an", "un", "-", "believ", "able", "end"]
    torch.testing.assert_close(result.token_attr, torch.tensor(heat.scores), rtol=0, atol=0)
    torch.testing.assert_close(result.seq_attr, torch.tensor(heat.scores.sum(axis=0)))


def drawn(figure: Any, axes: Any) -> tuple[list[str], list[str]]:
    from matplotlib import pyplot

    figure.canvas.draw()
    found = ([t.get_text() for t in axes.get_xticklabels()], [t.get_text() for t in axes.get_yticklabels()])
    pyplot.close(figure)
    return found


def test_captum_plots_it() -> None:
    result = llm_attribution_result(maps.sweep())
    figure, axes = result.plot_token_attr()
    np.testing.assert_array_equal(axes.images[0].get_array(), maps.sweep().scores)
    columns, rows = drawn(figure, axes)
    assert columns == ["[CLS]", "an", "un", "-", "believ", "able", "end", "[SEP]"]
    assert rows == ["an", "un", "-", "believ", "able", "end"]
    figure, axes = result.plot_seq_attr()
    assert [bar.get_height() for bar in axes.patches[:8]] == [21.0 * j for j in range(8)]
    drawn(figure, axes)


@pytest.mark.parametrize("label", ["$", "$$", "$x$", r"$\frac$", "$a$b$c", "{x}", "%s", "\n"])
def test_no_label_is_read_as_mathematics(label: str) -> None:
    heat = maps.of(f"{label} b", [(0, len(label)), (len(label) + 1, len(label) + 2)])
    figure, axes = llm_attribution_result(heat).plot_token_attr()
    texts = axes.get_xticklabels()
    assert not any(matplotlib.cbook.is_math_text(text.get_text()) for text in texts)
    drawn(figure, axes)


def test_a_contrast_is_named_and_nothing_is_refused() -> None:
    assert llm_attribution_result(hostile()).output_tokens == [HOSTILE + " against <i>"]
    with pytest.raises(SaliencyError, match=r"nothing to plot: scores have shape \(0, 8\)"):
        llm_attribution_result(maps.sweep(targets=(), scores=np.zeros((0, 8))))

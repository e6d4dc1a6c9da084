"""Probabilities: an explained token or class is shown with its own if the listed predictions leave it out."""

from __future__ import annotations

import dataclasses
import html
import io

import numpy as np
import pytest
from rich.console import Console

import hf_saliency as hs
from hf_saliency.maps import wording
from hf_saliency.render import terminal
from hf_saliency.render.marks.mark import target_name

TEXT = "She drank hot tea in the kitchen."


@pytest.fixture(scope="module")
def explainer() -> hs.Explainer:
    return hs.Explainer(*hs.load_demo())


@pytest.fixture(scope="module")
def unlikely(explainer: hs.Explainer) -> hs.SaliencyMap:
    """A map whose target is not the only prediction that is shown."""
    first, second = (
        explainer(TEXT, target=hs.MaskedToken("tea", predicted=True), top_k=2).targets[0].predictions
    )
    heat = explainer(TEXT, target=hs.MaskedToken("tea", token=second.class_id), top_k=1)
    assert [each.class_id for each in heat.targets[0].predictions] == [first.class_id]
    assert heat.targets[0].probability == pytest.approx(second.probability)
    return heat


@pytest.mark.parametrize("method", [hs.gradient_norm(), hs.leave_one_out()])
def test_the_probability_is_the_softmax_of_the_logits(explainer: hs.Explainer, method: hs.Method) -> None:
    logits = [
        explainer(TEXT, target=hs.MaskedToken("tea", token=token, unit="log_prob"), method=method)
        for token in ("library", "water")
    ]
    contrast = explainer(TEXT, target=hs.MaskedToken("tea", token="library", against="water"), method=method)
    (row,) = contrast.targets
    expected = [float(np.exp(heat.targets[0].score)) for heat in logits]
    assert [row.probability, row.against_probability] == pytest.approx(expected, rel=1e-5)
    assert logits[0].targets[0].against_probability is None


def test_sums_and_values_have_none(explainer: hs.Explainer) -> None:
    span = explainer(TEXT, target=hs.MaskedSpan("hot tea"))
    whole = explainer(TEXT, target=hs.PseudoLogLikelihood())
    value = explainer(TEXT, target=hs.Output(lambda output, inputs: output.logits[:, 1, 7]))
    assert [heat.targets[0].probability for heat in (span, whole, value)] == [None] * 3


def test_every_output_says_it(unlikely: hs.SaliencyMap) -> None:
    (row,) = unlikely.targets
    assert row.probability is not None
    said = wording.probability_words(row.probability)
    assert f"'{row.label}' ({said})" in repr(unlikely)
    assert f"probability {said}" in unlikely._repr_html_()
    assert f"probability {said}" in html.unescape(html.unescape(hs.page(unlikely)._repr_html_()))
    assert f"{row.label} {said}" in hs.to_latex(unlikely)
    drawn = [text.get_text() for text in hs.figure(unlikely, hs.Highlight()).findobj(match=_is_text)]
    assert any(f"{row.label} {said}" in "".join(filter(str.isprintable, text)) for text in drawn)
    printed = io.StringIO()
    console = Console(file=printed, width=120, color_system=None)
    console.print(terminal.report(console, unlikely))
    assert f" {100 * row.probability:.1f} " in printed.getvalue()


def _is_text(artist: object) -> bool:
    return hasattr(artist, "get_text")


def test_an_answer_that_is_shown_is_not_repeated(explainer: hs.Explainer) -> None:
    heat = explainer(TEXT, target=hs.MaskedToken("tea", predicted=True))
    (row,) = heat.targets
    assert "probability" not in wording.target_facts(row)
    assert "probability" in wording.target_facts(dataclasses.replace(row, predictions=row.predictions[1:]))
    assert wording.probabilities_beside(row, 0) == ()


def test_a_contrast_shows_both(explainer: hs.Explainer) -> None:
    (row,) = explainer(TEXT, target=hs.MaskedToken("tea", against="water")).targets
    first, second = (wording.probability_words(p or 0) for p in (row.probability, row.against_probability))
    assert f"probabilities {first} and {second}" in wording.target_facts(row)
    shown = "".join(filter(str.isprintable, target_name(row, 3)))
    assert shown == f"tea {first} against water {second}"


def test_files_keep_it_and_older_files_load(unlikely: hs.SaliencyMap, tmp_path: object) -> None:
    path = f"{tmp_path}/map.json"
    unlikely.save(path)
    assert hs.SaliencyMap.load(path) == unlikely
    older = dataclasses.replace(unlikely.targets[0], probability=None)
    dataclasses.replace(unlikely, targets=(older,)).save(path)
    assert "probability" not in hs.SaliencyMap.load(path).targets[0].__repr__().split("predictions")[0]
    assert hs.SaliencyMap.load(path).targets == (older,)


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.774, "0.77"), (0.0054, "0.01"), (0.00051, "0.0005"), (0.0001, "0.0001"), (1e-6, "<0.0001")],
)
def test_probabilities_in_words(probability: float, words: str) -> None:
    assert wording.probability_words(probability) == words

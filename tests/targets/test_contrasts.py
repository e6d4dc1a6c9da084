"""Contrasts: a list of them returns one target each, in order, equal to the target of each alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch

import hf_saliency as hs

PAIR = ("the cat sat on a mat", "dog ran")


def answers() -> Any:
    return tiny.of_class("BertForQuestionAnswering")


def choices() -> Any:
    return tiny.of_class("BertForMultipleChoice")


CASES: list[tuple[Callable[[], Any], Callable[[Any], hs.Target], Any, tuple[Any, Any]]] = [
    (
        lambda: tiny.masked_lm("bert")[0],
        lambda c: hs.MaskedToken(["cat", "mat"], against=c),
        PAIR[0],
        ("dog", 9),
    ),
    (
        lambda: tiny.masked_lm("bert")[0],
        lambda c: hs.UnmaskedToken("cat", against=c),
        PAIR[0],
        ("dog", "mat"),
    ),
    (
        lambda: tiny.masked_lm("bert")[0],
        lambda c: hs.MaskedSpan("cat sat", against=c),
        PAIR[0],
        ("dog ran", "a mat"),
    ),
    (
        lambda: tiny.of_class("BertForSequenceClassification"),
        lambda c: hs.Label(0, against=c),
        PAIR[0],
        (1, "LABEL_1"),
    ),
    (
        lambda: tiny.of_class("BertForTokenClassification"),
        lambda c: hs.TokenLabel(label=0, aggregation="word", against=c),
        PAIR[0],
        (1, "LABEL_1"),
    ),
    (
        lambda: tiny.of_class("BertModel"),
        lambda c: hs.Similarity("mean", against=c),
        PAIR,
        ("a cat", "the mat ran"),
    ),
    (answers, lambda c: hs.AnswerSpan("cat", against=c), PAIR[::-1], ("mat", slice(0, 3))),
    (choices, lambda c: hs.Choice(0, against=c), (*PAIR, "a cat ran", "the mat"), ("a cat ran", 2)),
]


@pytest.mark.parametrize(
    ("model", "target", "text", "against"), CASES, ids=lambda value: type(value).__name__
)
def test_each_contrast_is_a_target_of_its_own(
    model: Callable[[], Any], target: Callable[[Any], hs.Target], text: Any, against: tuple[Any, Any]
) -> None:
    explainer = hs.Explainer(model(), tiny.tokenizer())
    both = explainer(text, target=target(list(against)))
    alone = [explainer(text, target=target(each)) for each in against]
    rows = [row for pair in zip(*(heat.targets for heat in alone), strict=True) for row in pair]
    assert [row.label for row in both.targets] == [row.label for row in rows]
    assert [row.against for row in both.targets] == [row.against for row in rows]
    assert [row.score for row in both.targets] == pytest.approx([row.score for row in rows], rel=1e-10)
    for number, heat in enumerate(alone):
        width = len(heat.tokens)
        if both.tokens[:width] == heat.tokens and number == 0:
            torch.testing.assert_close(
                torch.tensor(both.scores[0, :width]), torch.tensor(heat.scores[0]), rtol=1e-9, atol=1e-14
            )
    assert target(list(against)) == target(tuple(against))


@pytest.mark.parametrize("total", [False, True])
def test_contrasts_of_what_a_causal_model_writes(total: bool) -> None:
    explainer = hs.Explainer(tiny.of_class("GPT2LMHeadModel"), tiny.tokenizer())
    text = ("the cat sat", " on a mat")

    def target(against: Any) -> hs.Target:
        return hs.Continuation(against=against, total=total, unit="log_prob")

    both, alone = (
        explainer(text, target=target(["dog", "cat"])),
        [explainer(text, target=target(c)) for c in ("dog", "cat")],
    )
    order = [row.against for row in both.targets]
    assert order == ["dog", "cat"] * len(alone[0].targets)
    for number, heat in enumerate(alone):
        torch.testing.assert_close(
            torch.tensor(both.scores[number::2]), torch.tensor(heat.scores), rtol=1e-9, atol=1e-14
        )


@pytest.mark.parametrize("against", [[], ["dog", 1.5], {"dog"}, [None, 2.5], [None, 2]])
def test_what_is_no_contrast_is_refused(against: Any) -> None:
    for kind in (hs.MaskedToken, hs.NextToken, hs.Label):
        with pytest.raises(hs.SaliencyError, match="or a list of several, one target each"):
            kind(against=against)

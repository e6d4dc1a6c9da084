"""Texts as baselines of several texts: the token at the same place of the matching text replaces each token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

import hf_saliency as hs

Ids = list[list[int]]


@dataclass(frozen=True)
class Case:
    """A target of several texts, and its score from a plain call of the model with the ids of each sequence."""

    model: str
    target: Any
    given: tuple[str, ...]
    baseline: tuple[str, ...]
    plain: Callable[[Any, Ids, Ids], Tensor]

    def explainer(self) -> hs.Explainer:
        return hs.Explainer(tiny.of_class(self.model, pad_token_id=0), tiny.tokenizer())

    def ids(self, on: hs.Explainer, texts: tuple[str, ...]) -> Ids:
        encoding = self.target.encode(texts, on.text_model, "error")
        return [list(encoding.columns(part).ids) for part in encoding.parts]


def label(model: Any, ids: Ids, own: Ids) -> Tensor:
    return model(torch.tensor(ids)).logits[0, 1]


def start(model: Any, ids: Ids, own: Ids) -> Tensor:
    """The start logit at the first token after the first [SEP]; the last token is [SEP], too."""
    first = ids[0].index(ids[0][-1]) + 1
    return model(torch.tensor(ids)).start_logits[0, first]


def choice(model: Any, ids: Ids, own: Ids) -> Tensor:
    one, other = (model(torch.tensor([[i]])).logits[0, 0] for i in ids[:2])
    return other - one


def cosine(model: Any, ids: Ids, own: Ids) -> Tensor:
    means = [model(torch.tensor([i])).last_hidden_state[0].mean(dim=0) for i in ids]
    return torch.cosine_similarity(*means, dim=0)


def following(model: Any, ids: Ids, own: Ids) -> Tensor:
    """Log-probability of the original text's last three tokens after the ids before them."""
    logits = model(torch.tensor(ids)).logits[0].log_softmax(dim=-1)
    return sum(logits[i - 1, own[0][i]] for i in range(len(own[0]) - 3, len(own[0])))


def translation(model: Any, ids: Ids, own: Ids) -> Tensor:
    """Log-probability of the original target's tokens, without special tokens."""
    output = model(torch.tensor(ids[:1]), decoder_input_ids=torch.tensor(ids[1:]))
    logits = output.logits[0].log_softmax(dim=-1)
    special = set(tiny.tokenizer().all_special_ids)
    return sum(logits[i - 1, one] for i, one in enumerate(own[1]) if one not in special)


PAIR = ("the cat sat on a mat", "a dog ran")
OTHER = ("it was music to the young", "she learn grammar")
TOTAL = hs.Continuation(total=True, unit="log_prob")
CASES = {
    "pair": Case("BertForSequenceClassification", hs.Label(1), PAIR, OTHER, label),
    "answer": Case("BertForQuestionAnswering", hs.AnswerSpan("a dog", ends="start"), PAIR, OTHER, start),
    "choice": Case(
        "BertForMultipleChoice",
        hs.Choice(1, against=0),
        (*PAIR, "a mat", "she"),
        (*OTHER, "he it", "age"),
        choice,
    ),
    "similarity": Case("BertModel", hs.Similarity("mean"), PAIR, OTHER, cosine),
    "continuation": Case("GPT2LMHeadModel", TOTAL, PAIR, OTHER, following),
    "translation": Case("BartForConditionalGeneration", TOTAL, PAIR, OTHER, translation),
}


@pytest.mark.parametrize("name", CASES)
def test_a_token_is_replaced_by_the_one_at_its_place(name: str) -> None:
    case = CASES[name]
    on = case.explainer()
    heat = on(case.given, target=case.target, method=hs.leave_one_out(baseline=case.baseline))
    own, other = (case.ids(on, texts) for texts in (case.given, case.baseline))
    assert [len(one) for one in own] == [len(one) for one in other]
    special = set(tiny.tokenizer().all_special_ids)
    expected = []
    with torch.no_grad():
        whole = case.plain(on.text_model.model, own, own)
        assert heat.targets[0].score == pytest.approx(whole.item(), rel=1e-10)
        for part, ids in enumerate(own):
            for j, one in enumerate(ids):
                changed = [list(i) for i in own]
                changed[part][j] = one if one in special else other[part][j]
                expected.append((whole - case.plain(on.text_model.model, changed, own)).item())
    assert np.count_nonzero(expected) >= 5
    np.testing.assert_allclose(heat.scores[0], expected, rtol=1e-8, atol=1e-12)
    assert heat.arguments["baseline"] == list(case.baseline)


@pytest.mark.parametrize("name", CASES)
def test_integrated_gradients_add_up_to_the_difference_from_the_baseline(name: str) -> None:
    case = CASES[name]
    on = case.explainer()
    method = hs.integrated_gradients(baseline=case.baseline, tolerance=1e-4)
    heat = on(case.given, target=case.target, method=method)
    own, other = (case.ids(on, texts) for texts in (case.given, case.baseline))
    with torch.no_grad():
        ends = [case.plain(on.text_model.model, ids, own) for ids in (own, other)]
    assert heat.scores.sum() == pytest.approx((ends[0] - ends[1]).item(), rel=1e-3)


def test_several_pairs_share_a_baseline_and_captum_gets_it() -> None:
    case = CASES["pair"]
    on = case.explainer()
    pairs = [PAIR, ("she was not young to he", "it is music")]
    method = hs.integrated_gradients(n_steps=20, baseline=OTHER, tolerance=None)
    for one, heat in zip(pairs, on(pairs, target=hs.Label(1), method=method), strict=True):
        np.testing.assert_allclose(heat.scores, on(one, target=hs.Label(1), method=method).scores, rtol=1e-8)
    score, arguments = on.captum(PAIR, target=hs.Label(1), baseline=OTHER)
    with torch.no_grad():
        value = score(arguments["baselines"], *arguments["additional_forward_args"])
        ids = case.ids(on, OTHER)
        assert value.item() == pytest.approx(label(on.text_model.model, ids, ids).item(), rel=1e-12)


def test_a_map_with_such_a_baseline_reads_back(tmp_path: Any) -> None:
    case = CASES["pair"]
    heat = case.explainer()(PAIR, target=hs.Label(1), method=hs.leave_one_out(baseline=OTHER))
    heat.save(tmp_path / "map.json")
    assert hs.SaliencyMap.load(tmp_path / "map.json") == heat


@pytest.mark.parametrize(
    ("name", "baseline", "message"),
    [
        (
            "pair",
            "it was music",
            "'it was music' is a single text, .* give a tuple with one baseline text for each",
        ),
        (
            "pair",
            ("it was", "music"),
            "have 4 and 2 tokens, special ones included, but .* have 8 and 4: give texts with 8 and 4 tokens",
        ),
        ("pair", OTHER[::-1], "have 5 and 7 tokens"),
        ("pair", ("it was music",), "the baseline texts .* have 5 tokens"),
        ("pair", (*OTHER, "it"), "cannot be read like the explained text: Label explains"),
        ("pair", ("", "it"), "empty"),
        ("choice", OTHER, "cannot be read like the explained text: Choice explains a prompt"),
        ("similarity", (*OTHER, "it"), "Similarity explains two texts"),
    ],
)
def test_what_is_no_baseline_of_several_texts(name: str, baseline: Any, message: str) -> None:
    case = CASES[name]
    with pytest.raises(hs.SaliencyError, match=message):
        case.explainer()(case.given, target=case.target, method=hs.leave_one_out(baseline=baseline))


def test_a_continuation_of_its_own_is_no_place_for_a_tuple() -> None:
    target = hs.Continuation("a dog ran", total=True)
    with pytest.raises(hs.SaliencyError, match=r"cannot be read like the explained text: .* the tuple"):
        CASES["continuation"].explainer()(PAIR[0], target=target, method=hs.leave_one_out(baseline=OTHER))

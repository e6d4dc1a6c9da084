"""AnswerSpan, Choice and Similarity: targets of several texts against plain calls and dense autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch
from torch import Tensor

import hf_saliency as hs

QUESTION, CONTEXT = "who sat on a mat ?", "the cat sat on a mat and the dog ran"
METHODS = ["gradient_norm", "integrated_gradients", "leave_one_out"]


def answers() -> hs.Explainer:
    return hs.Explainer(tiny.of_class("BertForQuestionAnswering"), tiny.tokenizer())


def plain(on: hs.Explainer, *texts: str) -> Any:
    given = on.text_model.tokenizer(*texts, return_tensors="pt")
    known = on.text_model.known
    return on.text_model.model(**{name: one for name, one in given.items() if name in known})


@pytest.mark.parametrize("unit", ["logit", "log_prob", "prob"])
@pytest.mark.parametrize("ends", ["start", "end", "both"])
def test_a_given_answer(ends: Any, unit: Any) -> None:
    on = answers()
    heat = on((QUESTION, CONTEXT), target=hs.AnswerSpan("the cat", ends=ends, unit=unit))
    ids = on.text_model.tokenizer(QUESTION, CONTEXT)["input_ids"]
    first = list(ids).index(on.text_model.tokenizer.sep_token_id) + 1

    def score() -> Tensor:
        output = plain(on, QUESTION, CONTEXT)
        start, end = (
            {"logit": one, "log_prob": one.log_softmax(-1), "prob": one.softmax(-1)}[unit]
            for one in (output.start_logits[0], output.end_logits[0])
        )
        return {"start": start[first], "end": end[first + 1], "both": start[first] + end[first + 1]}[ends]

    assert heat.targets[0].score == pytest.approx(score().item(), rel=1e-10)
    expected = reference.dense([(on.text_model.model.get_input_embeddings(), ids)], score)
    assert (expected > 0).all()
    np.testing.assert_allclose(heat.scores[0], expected, rtol=1e-10)
    assert heat.targets[0].label == ("the cat" if ends == "both" else f"{ends} of the cat")
    assert heat.texts == (QUESTION, CONTEXT)


def test_the_predicted_answer_is_the_best_span_of_the_context() -> None:
    on = answers()
    heat = on((QUESTION, CONTEXT))
    output = plain(on, QUESTION, CONTEXT)
    own = [i for i, token in enumerate(heat.tokens) if token.text_index == 1 and not token.special]
    sums = {
        (i, j): (output.start_logits[0, i] + output.end_logits[0, j]).item()
        for i in own
        for j in own
        if i <= j
    }
    (i, j), best = max(sums.items(), key=lambda one: one[1])
    assert heat.targets[0].score == pytest.approx(best, rel=1e-12)
    assert heat.targets[0].label == CONTEXT[heat.tokens[i].start : heat.tokens[j].end]


@pytest.mark.parametrize("method", METHODS)
def test_answers_in_a_batch_equal_single_ones(method: str) -> None:
    on = answers()
    given = [(QUESTION, CONTEXT), ("who ran ?", "the dog ran")]
    for one, heat in zip(given, on(given, method=method), strict=True):
        np.testing.assert_allclose(heat.scores, on(one, method=method).scores, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        (hs.AnswerSpan("music"), (QUESTION, CONTEXT), "the answer 'music' is not in the context"),
        (hs.AnswerSpan(slice(99, 120)), (QUESTION, CONTEXT), "is not in the context"),
        (hs.AnswerSpan(), CONTEXT, "a question and its context"),
        (hs.AnswerSpan(), (QUESTION, "the cat " * 30), "reads at most 36"),
        (hs.Label(), CONTEXT, "AutoModelForSequenceClassification"),
    ],
)
def test_no_answers(target: Any, given: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        answers()(given, target=target)


@pytest.mark.parametrize("answer", [5, True, ["cat"], slice("a", "b")])
def test_what_is_no_answer(answer: Any) -> None:
    with pytest.raises(hs.SaliencyError, match=r"answer=.*a slice of its characters, slice\(16, 23\)"):
        hs.AnswerSpan(answer)


def chooser() -> hs.Explainer:
    return hs.Explainer(tiny.of_class("BertForMultipleChoice", pad_token_id=0), tiny.tokenizer())


CHOICES = ("the cat sat on", "a mat", "the formal study of music", "it")


def chosen(on: hs.Explainer) -> Tensor:
    """Score each choice alone, because a multiple-choice model scores them independently."""
    scores = []
    for choice in CHOICES[1:]:
        given = on.text_model.tokenizer(CHOICES[0], choice, return_tensors="pt")
        known = {name: one[:, None] for name, one in given.items() if name in on.text_model.known}
        scores.append(on.text_model.model(**known).logits[0, 0])
    return torch.stack(scores)


def test_every_choice_is_in_the_map() -> None:
    on = chooser()
    heat = on(CHOICES, target=hs.Choice("a mat", against=1))
    assert len(heat.texts) == 6
    assert heat.texts[1::2] == CHOICES[1:]
    values = chosen(on)
    assert heat.targets[0].score == pytest.approx((values[0] - values[1]).item(), rel=1e-10)
    assert (heat.targets[0].label, heat.targets[0].against) == ("a mat", CHOICES[2])
    tokenizer, module = on.text_model.tokenizer, on.text_model.model.get_input_embeddings()
    expected = []
    for index, choice in enumerate(CHOICES[1:]):
        ids = tokenizer(CHOICES[0], choice)["input_ids"]
        if index == 2:
            expected.append(np.zeros(len(ids)))
            continue
        expected.append(reference.dense([(module, ids)], lambda at=index: _alone(on, at)))
    np.testing.assert_allclose(heat.scores[0], np.concatenate(expected), rtol=1e-10, atol=1e-14)


def _alone(on: hs.Explainer, index: int) -> Tensor:
    given = on.text_model.tokenizer(CHOICES[0], CHOICES[1 + index], return_tensors="pt")
    known = {name: one[:, None] for name, one in given.items() if name in on.text_model.known}
    return on.text_model.model(**known).logits[0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_choices_in_a_batch_equal_single_ones(method: str) -> None:
    on = chooser()
    given = [CHOICES, ("the dog", "ran", "sat on a mat"), ("it", "was", "not", "young")]
    for one, heat in zip(given, on(given, method=method), strict=True):
        alone = on(one, method=method)
        assert alone.targets[0].label == heat.targets[0].label
        np.testing.assert_allclose(heat.scores, alone.scores, rtol=1e-8, atol=1e-10)


def test_no_choices() -> None:
    with pytest.raises(hs.SaliencyError, match="a prompt and two choices"):
        chooser()("the cat")
    with pytest.raises(hs.SaliencyError, match="there is no choice 'x': there are 'a mat'"):
        chooser()(CHOICES, target=hs.Choice("x"))
    with pytest.raises(hs.SaliencyError, match="there is no choice True"):
        chooser()(CHOICES, target=hs.Choice(True))
    assert chooser()(CHOICES, target=hs.Choice(np.int64(1))).targets[0].label == CHOICES[2]


PAIR = ("the cat sat on a mat", "a dog ran")


def encoder() -> hs.Explainer:
    return hs.Explainer(tiny.of_class("BertModel"), tiny.tokenizer())


@pytest.mark.parametrize("metric", ["cosine", "dot"])
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_two_texts_are_compared(pooling: Any, metric: Any) -> None:
    on = encoder()

    def pooled(text: str) -> Tensor:
        states = plain(on, text).last_hidden_state[0]
        return {"mean": states.mean(dim=0), "first": states[0], "last": states[-1]}[pooling]

    def score(first: Tensor, second: Tensor) -> Tensor:
        product = (first * second).sum()
        return product if metric == "dot" else product / first.norm() / second.norm()

    heat = on(PAIR, target=hs.Similarity(pooling, metric))
    value = score(pooled(PAIR[0]), pooled(PAIR[1]))
    assert heat.targets[0].score == pytest.approx(value.item(), rel=1e-10)
    assert heat.targets[0].unit == "value"
    assert [token.text_index for token in heat.tokens] == [0] * 8 + [1] * 5
    module, tokenizer = on.text_model.model.get_input_embeddings(), on.text_model.tokenizer
    fixed = [pooled(text).detach() for text in PAIR]
    expected = [
        reference.dense(
            [(module, tokenizer(PAIR[0])["input_ids"])], lambda: score(pooled(PAIR[0]), fixed[1])
        ),
        reference.dense(
            [(module, tokenizer(PAIR[1])["input_ids"])], lambda: score(fixed[0], pooled(PAIR[1]))
        ),
    ]
    np.testing.assert_allclose(heat.scores[0], np.concatenate(expected), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_similarities_in_a_batch_equal_single_ones(method: str) -> None:
    on = encoder()
    given = [PAIR, ("it was music", "the formal study of grammar")]
    for one, heat in zip(given, on(given, method=method), strict=True):
        np.testing.assert_allclose(heat.scores, on(one, method=method).scores, rtol=1e-7, atol=1e-9)


def test_a_pooling_function_and_what_is_no_pair() -> None:
    on = encoder()
    mine = hs.Similarity(lambda output, inputs: output.last_hidden_state[:, 0] * 2.0)
    first = on(PAIR, target=hs.Similarity("first"))
    np.testing.assert_allclose(on(PAIR, target=mine).scores, first.scores, rtol=1e-9)
    with pytest.raises(hs.SaliencyError, match="explains two texts"):
        on("the cat")
    with pytest.raises(hs.SaliencyError, match="pooling='max'"):
        hs.Similarity("max")  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["bert", "convbert", "fnet", "nystromformer", "yoso"])
def test_choices_are_padded_as_the_tokenizer_pads_them(family: str) -> None:
    model, tokenizer = tiny.model("multiple_choice", family)
    texts = ("the cat", "sat on a mat", "a dog ran to it and she sat")
    explainer = hs.Explainer(model, tokenizer)
    given = tokenizer([texts[0]] * 2, list(texts[1:]), padding=True, return_tensors="pt")
    with torch.no_grad():
        plain = model(
            **{name: one[None] for name, one in given.items() if name in explainer.text_model.known}
        )
    longer = ("the dog", "it sat on a mat and she ran to the cat", "a dog")
    for heat in (explainer(texts), explainer([texts, longer])[0]):
        assert heat.targets[0].score == pytest.approx(plain.logits[0].max().item(), rel=1e-9)


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        (
            lambda output, inputs: output.last_hidden_state,
            r"returned \(1, 8, 16\) torch.float64 for a batch of 1",
        ),
        (lambda output, inputs: None, "returned NoneType"),
        (lambda output: output, "the function of pooling= raised TypeError"),
    ],
)
def test_a_pooling_function_that_pools_nothing(pooling: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        encoder()(PAIR, target=hs.Similarity(pooling))


def test_a_text_compared_with_itself_warns() -> None:
    with pytest.warns(UserWarning, match="their cosine is 1, its largest value") as caught:
        heat = encoder()((PAIR[0], PAIR[0].upper()))
    assert np.abs(heat.scores).max() < 1e-12
    assert caught[0].filename == __file__
    assert encoder()((PAIR[0], PAIR[0]), target=hs.Similarity(metric="dot")).scores.any()


def test_an_encoder_without_a_decoder() -> None:
    heat = hs.Explainer(tiny.of_class("T5EncoderModel"), tiny.tokenizer())(PAIR)
    assert heat.targets[0].label == "similarity"


@pytest.mark.parametrize("ends", ["start", "end", "both"])
def test_an_answer_against_another_is_the_difference_of_both(ends: Any) -> None:
    on, pair = answers(), (QUESTION, CONTEXT)
    one, other = (on(pair, target=hs.AnswerSpan(answer, ends=ends)) for answer in ("the cat", "the dog ran"))
    contrast = hs.AnswerSpan("the cat", ends=ends, against="the dog ran")
    heat = on(pair, target=contrast)
    assert heat.targets[0].score == pytest.approx(one.targets[0].score - other.targets[0].score, rel=1e-9)
    assert heat.targets[0].against == ("the dog ran" if ends == "both" else f"{ends} of the dog ran")
    signed = [
        on(pair, target=target, method="input_x_gradient").scores
        for target in (contrast, hs.AnswerSpan("the cat", ends=ends), hs.AnswerSpan("the dog ran", ends=ends))
    ]
    np.testing.assert_allclose(signed[0], signed[1] - signed[2], atol=1e-10)


def test_impossible_answers_against() -> None:
    with pytest.raises(hs.SaliencyError, match="the answer 'the king' is not in the context"):
        answers()((QUESTION, CONTEXT), target=hs.AnswerSpan("the cat", against="the king"))
    with pytest.raises(hs.SaliencyError, match="against=5: give a string of the context"):
        hs.AnswerSpan(against=5)  # type: ignore[arg-type]
    with pytest.raises(hs.SaliencyError, match="against= names the very class"):
        answers()((QUESTION, CONTEXT), target=hs.AnswerSpan("the cat", against="the cat"))


@pytest.mark.parametrize("family", ["fnet", "yoso", "nystromformer", "convbert"])
def test_pairs_of_equal_totals_are_not_padded_where_padding_matters(family: str) -> None:
    model, tokenizer = tiny.model("masked", family)
    on = hs.Explainer(model.base_model, tokenizer)
    pairs = [
        ("the cat sat on a mat", "she ran"),
        ("she ran", "the cat sat on a mat"),
        ("a cat ran", "the dog sat on"),
    ]
    for heat, pair in zip(on(pairs), pairs, strict=True):
        alone = on(pair)
        assert heat.targets[0].score == pytest.approx(alone.targets[0].score, rel=1e-9)
        np.testing.assert_allclose(heat.scores, alone.scores, rtol=1e-7, atol=1e-10)


def test_every_text_is_named() -> None:
    assert answers()((QUESTION, CONTEXT)).text_names == ("question", "context")
    assert encoder()(PAIR).text_names == ("first text", "second text")
    choices = ("prompt", "choice 1 of 3", "prompt", "choice 2 of 3", "prompt", "choice 3 of 3")
    assert chooser()(CHOICES).text_names == choices
    labels = hs.Explainer(tiny.of_class("BertForSequenceClassification"), tiny.tokenizer())
    assert labels(PAIR).text_names == ("first text", "second text")
    assert labels(PAIR[0]).text_names == ()
    own = hs.Output(lambda output, inputs: output.last_hidden_state[:, 0, 0])
    assert encoder()(PAIR, target=own).text_names == ("first text", "second text")
    assert encoder()(PAIR[0], target=own).text_names == ()


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_a_similarity_against_another_is_the_difference_of_both(metric: Any) -> None:
    on, third = encoder(), "she ran to the cat"
    near, far = hs.Similarity(metric=metric), hs.Similarity(metric=metric, against=third)
    heat = on(PAIR, target=far)
    one, other = on(PAIR, target=near), on((PAIR[0], third), target=near)
    assert heat.texts == (*PAIR, third)
    assert heat.targets[0].against == third
    assert heat.targets[0].score == pytest.approx(one.targets[0].score - other.targets[0].score, rel=1e-9)
    signed = on(PAIR, target=far, method="input_x_gradient").scores[0]
    first, second = (
        on(pair, target=near, method="input_x_gradient").scores[0] for pair in (PAIR, (PAIR[0], third))
    )
    shared = len(on.encode(PAIR[0]))
    expected = np.concatenate([first[:shared] - second[:shared], first[shared:], -second[shared:]])
    np.testing.assert_allclose(signed, expected, atol=1e-10)
    ig = on(PAIR, target=far, method=hs.integrated_gradients(tolerance=1e-4))
    assert abs(ig.convergence_delta[0]) < 1e-3
    with pytest.raises(hs.SaliencyError, match="contains the second text"):
        on(PAIR, target=hs.Similarity(against=PAIR[1]))
    with pytest.raises(hs.SaliencyError, match="against=3: give a text"):
        hs.Similarity(against=3)  # type: ignore[arg-type]

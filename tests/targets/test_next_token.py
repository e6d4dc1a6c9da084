"""NextToken and Continuation against plain logits and dense one-hot autograd, and shared forward passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch

import hf_saliency as hs
from hf_saliency.score import sharing

TEXT = "the cat sat on a mat and it learned music"
CAUSAL = ["GPT2LMHeadModel", "LlamaForCausalLM", "BertLMHeadModel"]
EXACT = {"LlamaForCausalLM": 1e-5}  # float32 norms and rotary positions


def explainer(name: str = "GPT2LMHeadModel", **changes: Any) -> hs.Explainer:
    if name == "BertLMHeadModel":
        changes = {"is_decoder": True, **changes}
    return hs.Explainer(tiny.of_class(name, **changes), tiny.tokenizer())


def logits(on: hs.Explainer, ids: list[int]) -> torch.Tensor:
    return on.text_model.model(input_ids=torch.tensor([ids])).logits[0]


def ids_of(on: hs.Explainer, text: str = TEXT) -> list[int]:
    return list(on.text_model.tokenizer(text)["input_ids"])


@pytest.mark.parametrize("name", CAUSAL)
def test_every_next_token_against_dense_autograd(name: str) -> None:
    on = explainer(name)
    ids, module = ids_of(on), on.text_model.model.get_input_embeddings()
    heat = on(TEXT)
    assert [row.position for row in heat.targets] == list(range(1, len(ids) - 1))
    assert heat.targets[1].label == "cat"
    for row, found in zip(heat.targets, heat.scores, strict=True):
        at = row.position
        expected = reference.dense([(module, ids)], lambda at=at: logits(on, ids)[at - 1, ids[at]])
        assert (expected[:at] > 0).all()
        np.testing.assert_allclose(found[:at], expected[:at], rtol=EXACT.get(name, 1e-10))
        assert (found[at:] == 0).all()
        assert row.score == pytest.approx(logits(on, ids)[at - 1, ids[at]].item(), rel=EXACT.get(name, 1e-12))


@pytest.mark.parametrize("method", ["gradient_norm", "integrated_gradients", "occlusion", "shapley_sampling"])
def test_the_upper_triangle_is_exactly_zero(method: str) -> None:
    heat = explainer()("the cat sat on", method=method)
    for row, scores in zip(heat.targets, heat.scores, strict=True):
        assert (scores[row.position :] == 0).all()
    assert (heat.scores[-1, 1:4] != 0).all()


@pytest.mark.parametrize("method", ["gradient_norm", "saliency", "input_x_gradient"])
@pytest.mark.parametrize("name", CAUSAL)
def test_shared_and_trimmed_passes_change_nothing(
    name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [TEXT, "the dog ran", "a cat"]
    shared = explainer(name)(texts, method=method)
    passes = explainer(name)
    small = hs.Explainer(passes.text_model.model, tiny.tokenizer(), batch_tokens=16)(texts, method=method)
    monkeypatch.setattr(sharing.SharedGradients, "of", lambda *_: None)
    whole = explainer(name)
    monkeypatch.setattr(whole.text_model, "trims", lambda *_: False)
    plain = whole(texts, method=method)
    for one, other, third in zip(shared, small, plain, strict=True):
        assert (one.scores != 0).any()
        np.testing.assert_allclose(one.scores, third.scores, rtol=EXACT.get(name, 1e-9), atol=1e-11)
        np.testing.assert_allclose(other.scores, third.scores, rtol=EXACT.get(name, 1e-9), atol=1e-11)
        assert [row.predictions[0].label for row in one.targets] == [
            row.predictions[0].label for row in third.targets
        ]


def test_rows_of_a_text_share_one_forward_pass() -> None:
    on = explainer()
    on("the cat sat")  # runs the trial of the reading direction
    shapes = []
    hook = on.text_model.model.register_forward_pre_hook(
        lambda module, arguments, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    try:
        on([TEXT, "the dog ran"])
    finally:
        hook.remove()
    assert len(shapes) == 1
    assert shapes[0][0] == 2


def test_a_model_without_batched_derivatives_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    on, expected = explainer(), explainer()(TEXT)
    grad = torch.autograd.grad

    def refused(*arguments: Any, **options: Any) -> Any:
        if options.get("is_grads_batched"):
            raise RuntimeError("this operation is not implemented for several gradients at once")
        return grad(*arguments, **options)

    monkeypatch.setattr(sharing.torch.autograd, "grad", refused)
    heat = on(TEXT)
    np.testing.assert_allclose(heat.scores, expected.scores, rtol=1e-10)
    assert heat.targets[0].predictions == expected.targets[0].predictions


@pytest.mark.filterwarnings("ignore:BertLMHeadModel does not read only from left to right")
def test_a_model_that_sees_later_tokens_is_not_trimmed() -> None:
    on = explainer("BertLMHeadModel", is_decoder=False)
    heat = on(TEXT)
    assert (heat.scores != 0).all()


def test_chosen_tokens_contrasts_and_units() -> None:
    on = explainer()
    ids = ids_of(on)
    values = logits(on, ids)
    names = {piece: on.text_model.tokenizer.convert_tokens_to_ids(piece) for piece in ("sat", "ran", "dog")}
    (row,) = on(TEXT, target=hs.NextToken("sat", against="ran")).targets
    expected = values[2, names["sat"]] - values[2, names["ran"]]
    assert row.score == pytest.approx(expected.item(), rel=1e-10)
    assert (row.label, row.against, row.position) == ("sat", "ran", 3)
    (row,) = on(TEXT, target=hs.NextToken(3, token="dog", unit="prob")).targets
    assert row.score == pytest.approx(values[2].softmax(-1)[names["dog"]].item(), rel=1e-10)
    (row,) = on(TEXT, target=hs.NextToken(3, predicted=True)).targets
    assert row.score == pytest.approx(values[2].max().item(), rel=1e-12)
    assert row.label == row.predictions[0].label


def test_the_log_probability_of_the_text_as_one_target() -> None:
    on = explainer()
    ids = ids_of(on)
    heat = on(TEXT, target=hs.NextToken(total=True, unit="log_prob"))
    each = on(TEXT, target=hs.NextToken(unit="log_prob"))
    assert heat.targets[0].score == pytest.approx(sum(row.score for row in each.targets), rel=1e-12)
    module = on.text_model.model.get_input_embeddings()

    def total() -> torch.Tensor:
        values = logits(on, ids).log_softmax(-1)
        return sum(values[at - 1, ids[at]] for at in range(1, len(ids) - 1))

    np.testing.assert_allclose(heat.scores[0], reference.dense([(module, ids)], total), rtol=1e-10)


def test_a_given_continuation_is_told_apart_from_its_prompt() -> None:
    on = explainer()
    heat = on(("the cat sat", " on a mat"), target=hs.Continuation())
    assert heat.texts == ("the cat sat", " on a mat")
    assert heat.text_names == ("prompt", "continuation")
    assert [token.text_index for token in heat.tokens] == [0, 0, 0, 0, 1, 1, 1]
    assert heat.labels == ("[CLS]", "the", "cat", "sat", "on", "a", "mat")
    assert [(row.label, row.position) for row in heat.targets] == [("on", 4), ("a", 5), ("mat", 6)]
    whole = on("the cat sat on a mat", target=hs.NextToken(["on", "a", "mat"]))
    np.testing.assert_allclose(heat.scores, whole.scores[:, :7], rtol=1e-10)
    one = on("the cat sat", target=hs.Continuation(" on a mat", total=True), method="integrated_gradients")
    assert one.scores.shape == (1, 7)


def test_a_generated_continuation_is_what_the_model_generates() -> None:
    on = explainer(seed=3, vocab_size=len(tiny.tokenizer()))
    prompt = ids_of(on, "the cat sat")[:-1]
    ids = list(prompt)
    for _ in range(4):
        ids.append(int(logits(on, ids)[-1].argmax()))
    assert 3 not in ids[len(prompt) :]
    heat = on("the cat sat", target=hs.Continuation(max_new_tokens=4))
    names = on.text_model.tokenizer.convert_ids_to_tokens(ids)
    assert [token.piece for token in heat.tokens] == names
    assert all(row.label == row.predictions[0].label for row in heat.targets)
    shown = [heat.texts[1][token.start : token.end] for token in heat.tokens[len(prompt) :]]
    assert "".join(shown) == heat.texts[1].replace(" ", "")


CHAT = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} . {% endfor %}"
    "{% if add_generation_prompt %}it :{% endif %}"
)


def test_a_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    on = explainer()
    monkeypatch.setattr(on.text_model, "tokenizer", tiny.tokenizer.__wrapped__())
    asked = [{"role": "user", "content": "the cat"}]
    with pytest.raises(hs.SaliencyError, match="has no chat template"):
        on(asked, target=hs.Continuation(" sat"))
    on.text_model.tokenizer.chat_template = CHAT
    heat = on(asked, target=hs.Continuation(" sat"))
    assert heat.texts == ("the cat", " sat")
    answered = [*asked, {"role": "assistant", "content": "sat"}]
    again = on(answered, target=hs.Continuation())
    assert again.texts == ("the cat", "sat")
    np.testing.assert_allclose(again.scores, heat.scores)
    second = on([asked, asked], target=hs.Continuation(" sat"))[1]
    np.testing.assert_allclose(second.scores, heat.scores, rtol=1e-10)


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        (hs.Continuation(), ("the cat", " "), "the continuation is empty"),
        (hs.Continuation(""), "the cat", "the continuation is empty"),
        (hs.Continuation(" sat"), ("the cat", " ran"), "already has a continuation, and the tuple"),
        (hs.Continuation(), "the cat " * 40, "the model reads at most 36"),
        (hs.Continuation(" the cat" * 20), "the cat", "the model reads at most 36"),
        (
            hs.Continuation(" sat", where=1),
            "the cat",
            "is in the prompt: the continuation has the tokens 3 to 3",
        ),
        (hs.NextToken(0), "the cat", "is the first token that the model reads"),
        (hs.NextToken(), ("the cat", " sat"), "target=hs.Continuation"),
        (hs.NextToken("sat", against="learning"), "the cat sat", "must be one token"),
        (
            hs.NextToken("dog"),
            "the cat sat",
            r"there is 'the', .* explainer\(\(text, ' word'\), target=hs.Cont",
        ),
        (hs.MaskedToken(), "the cat", "AutoModelForMaskedLM"),
    ],
)
def test_what_cannot_be_continued(target: Any, given: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        explainer()(given, target=target)


@pytest.mark.parametrize("against", ["ran", " ran"])
def test_a_contrast_may_bring_its_space(against: str) -> None:
    on = explainer()
    ran = on.text_model.tokenizer.convert_tokens_to_ids("ran")
    target = hs.Continuation(against=against)
    encoding = target.encode(("the cat", " sat"), on.text_model, "error")
    assert target.rows(encoding, on.text_model)[0].refs[0].against_id == ran


def test_a_generation_ends_where_the_model_reads_no_more() -> None:
    for name in ("GPT2LMHeadModel", "LlamaForCausalLM"):
        on = hs.Explainer(tiny.of_class(name), tiny.tokenizer())
        heat = on("the cat " * 5, target=hs.Continuation(max_new_tokens=10**6))
        assert len(heat.tokens) == 36
        with pytest.raises(hs.SaliencyError, match="at most 36. That leaves no token for the continuation"):
            on("cat " * 35, target=hs.Continuation(), overflow="truncate")


def test_a_continuation_that_is_no_text() -> None:
    with pytest.raises(hs.SaliencyError, match="text=3: give the continuation as a string"):
        hs.Continuation(3)  # type: ignore[arg-type]


def test_a_generation_that_stops_at_once() -> None:
    on = explainer()
    on.text_model.model.generation_config.eos_token_id = list(range(48))
    with pytest.raises(hs.SaliencyError, match="ends its text at once"):
        on("the cat", target=hs.Continuation())


@pytest.mark.parametrize("overflow", ["windows", "truncate"])
def test_a_text_longer_than_the_model(overflow: Any) -> None:
    on = explainer()
    text = " ".join(["the cat sat on a mat"] * 10)
    heat = on(text, target=hs.NextToken([20, 34]), overflow=overflow)
    assert heat.scores.shape[1] == (62 if overflow == "windows" else 36)
    if overflow == "windows":
        heat = on(text, target=hs.NextToken(-2), overflow=overflow)
        ids = ids_of(on, text)
        seen = [ids[0], *ids[60 - 35 : 60]]
        assert heat.targets[0].score == pytest.approx(logits(on, seen)[-1, ids[60]].item(), rel=1e-10)
        assert (heat.scores[0, 1:25] == 0).all()


def test_outside_of_the_package_captum_sees_whole_rows() -> None:
    import captum.attr

    on = explainer()
    score, arguments = on.captum(TEXT)
    found = captum.attr.InputXGradient(score).attribute(**arguments)
    heat = on(TEXT, method="input_x_gradient")
    np.testing.assert_allclose(found.sum(-1).detach(), heat.scores, atol=1e-10)

"""Every text model of transformers, tiny, with every head: scores, gradients, padding, and an unchanged model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import dense
import numpy as np
import pytest
import tiny
import tiny_models
import torch
from tiny_models import Entry
from tiny_models.encoders import ENCODERS
from tiny_models.traits import FLOAT32, LOCAL, NO_LEFT_PADDING
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import hf_saliency as hs
from hf_saliency.adapter.guards import borrowed
from hf_saliency.adapter.hooks import embedded

TEXT = "The formal study of grammar is an important part."
OTHER = "she ran to the dog and the cat, not to education and music"
SHORT = "the cat sat on a mat"
QUESTION = "she sat on a mat to learn"
CHOICES = ("and ran to the dog", "and was not young !")

# The target to explain for each head.
TARGETS: dict[str, Any] = {
    "masked": hs.MaskedToken([2, 5]),
    "causal": hs.NextToken(),
    "sequence_classification": hs.Label(all_labels=True),
    "token_classification": hs.TokenLabel([2, 5]),
    "question_answering": hs.AnswerSpan(slice(4, 7)),
    "multiple_choice": hs.Choice(1),
    "seq2seq": hs.Continuation(),
}

# If all arithmetic is in float64, results differ only by float64's rounding (2e-16, times a few hundred operations
# in a row). If parts are in float32, they differ by its rounding; if everything is, cancellation in sums adds to it.
EXACT, FLOAT32_PARTS, FLOAT32_ALL = 1e-10, 1e-5, 1e-3


def tolerance(entry: Entry) -> float:
    if entry.family in tiny_models.FLOAT32_ONLY:
        return FLOAT32_ALL
    return FLOAT32_PARTS if entry.family in FLOAT32 else EXACT


def given(entry: Entry, text: str) -> Any:
    """The argument for the explainer: the text, or the texts that belong together."""
    together = {
        "seq2seq": (text, SHORT),
        "question_answering": (QUESTION, text),
        "multiple_choice": (text, *CHOICES),
    }
    return together.get(entry.head, text)


def assert_same(actual: np.ndarray, expected: np.ndarray, relative: float, what: str) -> None:
    """Check equality element by element, with an absolute tolerance relative to the largest element for tiny ones."""
    assert actual.shape == expected.shape, what
    least = relative * 1e-3 * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=relative, atol=least, err_msg=what)


def inputs_of(entry: Entry, model: nn.Module, tokenizer: Any, target: hs.TargetRow) -> dense.Inputs:
    """The inputs for a call of the plain model for a target."""
    if entry.head == "question_answering":
        return dense.known(model, tokenizer(QUESTION, TEXT))
    if entry.head == "multiple_choice":
        each = [tokenizer(TEXT, choice) for choice in CHOICES]
        return dense.known(model, {name: [one[name] for one in each] for name in each[0]})
    found = dense.known(model, tokenizer(TEXT))
    if target.masked:
        found["input_ids"][0, target.position] = tokenizer.mask_token_id
    if entry.head == "seq2seq":
        ids = tokenizer(SHORT)["input_ids"]
        moved = [model.config.decoder_start_token_id, *ids[:-1]]
        if hasattr(model, "prepare_decoder_input_ids_from_labels"):
            (moved,) = model.prepare_decoder_input_ids_from_labels(torch.tensor([ids])).tolist()
        found["decoder_input_ids"] = torch.tensor([moved])
    return found


def reading(entry: Entry, target: hs.TargetRow, inputs: dense.Inputs) -> Callable[[Any], Tensor]:
    """Return a function from a model's output to the number that a target explains."""
    if entry.head == "question_answering":  # the answer starts and ends at the same token
        where = target.position
        return lambda output: output["start_logits"][0, where] + output["end_logits"][0, where]
    assert target.class_id is not None
    if entry.head in ("sequence_classification", "multiple_choice"):
        return lambda output: output["logits"][0, target.class_id]
    assert target.position is not None
    place = target.position
    if entry.head == "seq2seq":
        place -= inputs["input_ids"].shape[1]
    if entry.head in ("causal", "seq2seq"):
        place -= 1
    return lambda output: output["logits"][0, place, target.class_id]


def state(model: nn.Module) -> dict[str, Any]:
    """Everything that an explanation could change in a model."""
    modules = dict(model.named_modules())
    return {
        "weights": {
            name: (value.clone(), value.grad) for name, value in model.state_dict(keep_vars=True).items()
        },
        "buffers": {name: value.clone() for name, value in model.named_buffers()},
        "frozen": {name: not value.requires_grad for name, value in model.named_parameters()},
        "training": {name: module.training for name, module in modules.items()},
        "hooks": {
            name: (len(module._forward_hooks), len(module._forward_pre_hooks))
            for name, module in modules.items()
        },
        "attributes": {name: set(vars(module)) for name, module in modules.items()},
        "config": model.config.to_dict(),
    }


def assert_unchanged(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name, (value, grad) in before["weights"].items():
        assert torch.equal(value, after["weights"][name][0]), name
        assert grad is after["weights"][name][1] is None, name
    for name, value in before["buffers"].items():
        assert torch.equal(value, after["buffers"][name]), name
    for name in ("frozen", "training", "hooks", "attributes", "config"):
        assert before[name] == after[name], name


def assert_left_padding_is_the_same(
    entry: Entry, model: nn.Module, pad_id: int, heat: hs.SaliencyMap
) -> None:
    """Check that the scores equal those of the text with padding before it, as in a batch for generation."""
    tokenizer = tiny.tokenizer(pad_id)
    inputs = dense.padded(dense.known(model, tokenizer(TEXT)), 4, pad_id, "left")
    if "position_ids" in inspect.signature(model.forward).parameters and not rolls(entry):
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = model(**inputs).logits[0, 4:]
    for target in heat.targets:
        expected = logits[target.position - 1, target.class_id].item()
        assert target.score == pytest.approx(expected, rel=FLOAT32_PARTS, abs=FLOAT32_PARTS), "left padding"


def assert_hooked_is_plain(entry: Entry, explainer: hs.Explainer, inputs: dense.Inputs) -> None:
    """Check that the model returns the same output with its own embeddings put in by hooks as without hooks.

    Rounding may differ slightly, because a CPU chooses kernels by the memory layout of the tensors.
    """
    known = explainer.text_model
    streams = (
        [stream.without_echo() for stream in known.streams] if entry.head == "seq2seq" else known.streams[:1]
    )
    texts = [inputs[name] for name in ("input_ids", "decoder_input_ids") if name in inputs]
    embeds = [stream.embed(ids) for stream, ids in zip(streams, texts, strict=True)]
    with torch.no_grad():
        plain = known.model(**inputs)
        with borrowed(known.model), embedded(known.model, streams, embeds, inputs):
            hooked = known.model(**inputs)
    for name in ("start_logits", "end_logits") if entry.head == "question_answering" else ("logits",):
        torch.testing.assert_close(hooked[name], plain[name], rtol=1e-12, atol=1e-12, msg=name)


def rolls(entry: Entry) -> bool:
    """Whether the model computes positions from the ids, without padding, as RoBERTa does."""
    return "roberta" in entry.name.lower() or entry.family in ("camembert", "data2vec-text", "xmod")


@pytest.mark.parametrize("entry", tiny_models.entries(), ids=str)
def test_family(entry: Entry) -> None:
    model, tokenizer = tiny.model(entry.head, entry.family)
    target, close = TARGETS[entry.head], tolerance(entry)
    with torch.no_grad():  # some models change their own state in their first pass
        model(**inputs_of(entry, model, tokenizer, hs.TargetRow("", 1, 0.0)))
    model.train()
    next(model.parameters()).requires_grad_(False)
    before = state(model)
    heat, other = hs.Explainer(model, tokenizer)([given(entry, TEXT), given(entry, OTHER)], target=target)
    assert_unchanged(before, state(model))

    model.eval()
    alone = hs.Explainer(model, tokenizer, batch_tokens=1)
    assert_same(
        heat.scores, alone(given(entry, TEXT), target=target).scores, close, "a batch and a single text"
    )
    assert_same(
        other.scores, alone(given(entry, OTHER), target=target).scores, close, "a batch and a single text"
    )

    assert np.isfinite(heat.scores).all()
    assert (heat.scores.max(axis=1) > 0).all()
    rows = range(len(heat.targets)) if entry.head != "causal" else (2, len(heat.targets) - 1)
    assert_hooked_is_plain(entry, alone, inputs_of(entry, model, tokenizer, heat.targets[0]))
    for i in rows:
        inputs = inputs_of(entry, model, tokenizer, heat.targets[i])
        score = reading(entry, heat.targets[i], inputs)
        with torch.no_grad():
            plain = score(model(**inputs)).item()
        assert heat.targets[i].score == pytest.approx(plain, rel=close, abs=close), "the plain forward pass"
        expected = dense.one_hot_norms(model, inputs, score).double().numpy()
        expected = np.append(expected, [0.0] * (heat.scores.shape[1] - len(expected)))  # written, never read
        assert_same(heat.scores[i], expected, close, "dense one-hot inputs")
        if entry.family in ENCODERS and entry.family not in LOCAL and entry.head != "causal":
            own = slice(heat.scores.shape[1] // 2, None) if entry.head == "multiple_choice" else slice(None)
            assert (heat.scores[i][own] > 0).all()  # the tokens of the explained choice
    if entry.head == "causal":
        assert np.array_equal(np.triu(heat.scores[:, 1:]), np.zeros_like(heat.scores[:, 1:])), (
            "the upper triangle"
        )
        if entry.family not in NO_LEFT_PADDING:
            assert_left_padding_is_the_same(entry, model, tokenizer.pad_token_id, heat)


class Float32(TorchFunctionMode):
    """Record whether anything is computed in float32 on the way to a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        output = function(*arguments, **(named or {}))
        for one in output if isinstance(output, (tuple, list)) else (output,):
            if isinstance(one, Tensor) and one.requires_grad and one.dtype == torch.float32:
                self.found = True
        return output


@pytest.mark.parametrize("family", sorted({entry.family for entry in tiny_models.entries()}))
def test_what_is_listed_as_computing_in_float32_does(family: str) -> None:
    entry = next(entry for entry in tiny_models.entries() if entry.family == family)
    model, tokenizer = tiny.model(entry.head, family)
    inputs = inputs_of(entry, model, tokenizer, hs.TargetRow("", 1, 0.0))
    model.requires_grad_(False)
    leaves = [place.module.weight.requires_grad_() for place in dense.entrances(model, inputs)]
    assert leaves
    with Float32() as noted:
        model(**inputs)
    assert noted.found == (family in FLOAT32)

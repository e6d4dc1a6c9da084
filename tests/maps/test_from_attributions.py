"""SaliencyMap.from_attributions: shapes, reductions, precisions, and encodings of any origin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BatchEncoding, PreTrainedTokenizerFast

import hf_saliency as hs
from hf_saliency.attribution.method import REDUCE

TEXT = "The cat  learned it!"  # [CLS] the cat learn ##ed it ! [SEP]
TOKENS, WIDTH, TARGETS = 8, 5, 3
SPANS = ["", "The", "cat", "learn", "ed", "it", "!", ""]


def encoding() -> Any:
    return hs.Explainer(*tiny.masked_lm("bert")).encode(TEXT)


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def of(attributions: Any, encoded: Any = None, **options: Any) -> hs.SaliencyMap:
    return hs.SaliencyMap.from_attributions(attributions, encoded or encoding(), **options)


def slices(made: hs.SaliencyMap) -> list[str]:
    return [made.texts[token.text_index][token.start : token.end] for token in made.tokens]


# Shapes


@pytest.mark.parametrize(
    ("shape", "targets", "expected"),
    [
        ((TOKENS,), None, lambda x: x[None]),
        ((TOKENS,), "cat", lambda x: x[None]),
        ((TOKENS, WIDTH), None, lambda x: x.sum(1)[None]),
        ((TOKENS, WIDTH), ["cat"], lambda x: x.sum(1)[None]),
        ((TOKENS, TOKENS), "cat", lambda x: x.sum(1)[None]),
        ((TOKENS, TOKENS), list("abcdefgh"), lambda x: x),
        ((1, TOKENS), None, lambda x: x),
        ((1, TOKENS), "cat", lambda x: x),
        ((TARGETS, TOKENS), None, lambda x: x),
        ((TARGETS, TOKENS), ["cat", "it", "!"], lambda x: x),
        ((TARGETS, TOKENS, WIDTH), None, lambda x: x.sum(2)),
        ((TARGETS, TOKENS, WIDTH), ["cat", "it", "!"], lambda x: x.sum(2)),
        ((TOKENS, TOKENS, TOKENS), None, lambda x: x.sum(2)),
    ],
)
def test_shapes(shape: tuple[int, ...], targets: Any, expected: Any) -> None:
    given = values(*shape)
    made = of(given, targets=targets)
    np.testing.assert_array_equal(made.scores, expected(given))
    assert len(made.targets) == len(made.scores)


@pytest.mark.parametrize(
    ("shape", "targets", "message"),
    [
        (
            (7,),
            None,
            r"shape \(7,\), but the encoding has 8 tokens: give \(8,\), \(8, width\), \(targets, 8\) or",
        ),
        ((8,), ["a", "b"], r"8 tokens and targets= names 2: give \(2, 8\) or \(2, 8, width\)"),
        ((3, 8), ["a", "b"], "names 2"),
        ((8, 5), ["a", "b"], "names 2"),
        ((5, 7), None, "have shape"),
        ((2, 8, 5), "a", "names 1"),
        ((1, 2, 8, 5), None, "have shape"),
        (
            (8, 8),
            None,
            r"\(8, 8\) for 8 tokens are of one target .* name the targets, such as .* attributions\[None\]",
        ),
        ((), None, r"have shape \(\)"),
    ],
)
def test_shapes_that_do_not_fit(shape: tuple[int, ...], targets: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        of(np.asarray(values(*shape)), targets=targets)


@pytest.mark.parametrize("name", list(REDUCE))
def test_reductions_are_those_of_the_methods(name: str) -> None:
    given = torch.tensor(values(TARGETS, TOKENS, WIDTH))
    expected = REDUCE[name](given)
    np.testing.assert_allclose(of(given, reduction=name).scores, expected, rtol=1e-14)
    with pytest.raises(hs.SaliencyError, match="the sum is called 'sum'"):
        of(given, reduction="total")


# Precisions and origins of arrays


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_precisions(dtype: torch.dtype) -> None:
    given = torch.tensor(values(TOKENS, WIDTH)).to(dtype).requires_grad_()
    made = of(given)
    assert made.scores.dtype == (np.float64 if dtype is torch.float64 else np.float32)
    wide = given.detach().to(torch.float64 if dtype is torch.float64 else torch.float32)
    np.testing.assert_allclose(made.scores[0], wide.sum(1).numpy(), rtol=1e-5)  # summed in at least float32


def test_half_arrays_of_numpy_are_summed_in_float32() -> None:
    given = np.full((TOKENS, 4096), 1.0, np.float16)
    given[:, 0] = 0.25
    assert of(given).scores[0, 0] == 4095.25


def test_a_sequence_of_one_tensor_as_captum_returns() -> None:
    given = torch.tensor(values(1, TOKENS, WIDTH))
    assert of((given,)) == of([given]) == of(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[0.0] * 8, [1.0] * 8], "attributions must be one tensor or NumPy array, not list"),
        (None, "not NoneType"),
        ("abc", "not str"),
        (torch.ones(8, dtype=torch.long), "attributions are int64: give floating-point numbers"),
        (np.ones(8, complex), "are complex128"),
        (np.ones(8, bool), "are bool"),
    ],
)
def test_no_attributions(given: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        of(given)


def test_nan_is_kept() -> None:
    given = values(TOKENS)
    given[2] = np.nan
    assert np.isnan(of(given).scores[0, 2])
    assert of(given) == of(given)


def test_arrays_are_copied() -> None:
    given = values(TARGETS, TOKENS)
    made = of(given)
    given[:] = 0
    assert np.abs(made.scores).min() > 0


def test_no_torch_is_needed() -> None:
    """Run in a fresh interpreter that cannot import torch, captum or transformers."""
    code = (
        "import sys, types\n"
        "sys.modules.update(dict.fromkeys(['torch', 'captum', 'transformers']))\n"
        "import numpy as np, hf_saliency as hs\n"
        "e = types.SimpleNamespace(texts=('a b',), tokens=(hs.Token('a', 0, 1), hs.Token('b', 2, 3)))\n"
        "print(hs.SaliencyMap.from_attributions(np.array([[1., 2.], [3., 4.]]), e, targets='a').scores.tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[[3.0, 7.0]]"


# Everything besides the scores


def test_signed_is_what_the_scores_say_unless_said() -> None:
    given = values(TARGETS, TOKENS, WIDTH)
    assert of(given).signed
    assert not of(given, reduction="norm").signed
    assert not of(given, signed=False).signed
    assert of(np.abs(given), signed=True).signed


def test_targets() -> None:
    given = values(2, TOKENS)
    assert [row.label for row in of(given).targets] == ["score 1", "score 2"]
    assert [row.label for row in of(given[:1]).targets] == ["score"]
    row = hs.TargetRow("cat", 2, 1.5, unit="prob", masked=True)
    made = of(given, targets=[row, "it"])
    assert made.targets[0] == row
    assert (made.targets[1].label, made.targets[1].position) == ("it", None)
    assert np.isnan(made.targets[1].score)
    assert of(given[0], targets=row).targets == (row,)
    for wrong in (3, [3], {"cat": 2}):
        with pytest.raises(hs.SaliencyError, match="give a label, a list of labels, or hs.TargetRow"):
            of(given, targets=wrong)
    with pytest.raises(hs.SaliencyError, match="is at a padding token or outside the 8 tokens"):
        of(given[0], targets=hs.TargetRow("cat", 8, 1.5))


def test_the_rest_is_handed_on() -> None:
    given = values(2, TOKENS)
    delta = torch.tensor([0.5, -0.25], dtype=torch.float32)
    made = of(given, method="own", arguments={"n": 3}, convergence_delta=delta, provenance={"model": "mine"})
    assert (made.method, made.arguments, made.provenance) == ("own", {"n": 3}, {"model": "mine"})
    np.testing.assert_array_equal(made.convergence_delta, [0.5, -0.25])
    assert made.convergence_delta.dtype == np.float64
    assert of(given[0], convergence_delta=0.5).convergence_delta == [0.5]
    with pytest.raises(hs.SaliencyError, match="convergence_delta has shape"):
        of(given, convergence_delta=0.5)


def test_it_saves_and_draws(tmp_path: Path) -> None:
    made = of(values(2, TOKENS))
    made.save(tmp_path / "map.json")
    assert hs.SaliencyMap.load(tmp_path / "map.json") == made
    hs.figure(made, mark=hs.Matrix(), width=4).savefig(tmp_path / "map.png")
    assert "score 1" in repr(made)


# Encodings


def test_the_explainers_own_encoding() -> None:
    made = of(values(TOKENS))
    assert made.texts == (TEXT,)
    assert slices(made) == SPANS
    assert of(values(TOKENS), text=TEXT) == made
    with pytest.raises(hs.SaliencyError, match="is not the encoded text"):
        of(values(TOKENS), text="The cat")


def test_a_batch_encoding_gives_the_tokens_of_the_explainer() -> None:
    given = values(TOKENS)
    assert of(given, tiny.tokenizer()(TEXT), text=TEXT) == of(given)
    assert of(given, tiny.tokenizer()(TEXT, return_tensors="pt"), text=TEXT) == of(given)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_goes_with_its_columns(side: str) -> None:
    encoded = tiny.tokenizer()(TEXT, padding="max_length", max_length=12, padding_side=side)
    given = values(2, 12)
    first = 4 if side == "left" else 0
    row = hs.TargetRow("cat", first + 2, 1.5)
    made = of(given, encoded, text=TEXT, targets=[row, "it"])
    assert slices(made) == SPANS
    np.testing.assert_array_equal(made.scores, given[:, first : first + 8])
    assert made.targets[0].position == 2
    assert made.tokens == of(values(TOKENS)).tokens
    with pytest.raises(hs.SaliencyError, match="at a padding token"):
        of(given[0], encoded, text=TEXT, targets=hs.TargetRow("cat", 11 - first * 2, 1.5))
    with pytest.raises(hs.SaliencyError, match="the encoding has 12 tokens"):
        of(given[:, :8], encoded, text=TEXT)


def test_padding_makes_a_map_no_more_signed() -> None:
    encoded = tiny.tokenizer()(TEXT, padding="max_length", max_length=12)
    given = np.abs(values(12))
    given[10] = -1
    assert not of(given, encoded, text=TEXT).signed


def test_one_of_several_texts() -> None:
    texts = [TEXT, "it sat"]
    batch = tiny.tokenizer()(texts, padding=True)
    given = values(2, TOKENS)
    for i, text in enumerate(texts):
        made = of(given[i], batch[i], text=text)
        count = sum(batch["attention_mask"][i])
        assert made.tokens == hs.Explainer(*tiny.masked_lm("bert")).encode(text).tokens
        np.testing.assert_array_equal(made.scores, given[i : i + 1, :count])
    with pytest.raises(hs.SaliencyError, match=r"holds 2 texts, but a map holds one: give batch\[i\]"):
        of(given, batch, text=TEXT)


def test_pairs() -> None:
    pair = ("The cat", "it learned")
    encoded = tiny.tokenizer()(*pair)
    made = of(values(9)[:8], encoded, text=pair)
    assert made.texts == pair
    assert slices(made) == ["", "The", "cat", "", "it", "learn", "ed", ""]
    assert [token.text_index for token in made.tokens] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [(t.start, t.end) for t in made.tokens if t.special] == [(0, 0), (7, 7), (10, 10)]
    for wrong in ("The cat", ("The cat",), ("The cat", 3)):
        with pytest.raises(hs.SaliencyError, match="give the two strings of the pair"):
            of(values(8), encoded, text=wrong)


def byte_level() -> PreTrainedTokenizerFast:
    vocabulary = {character: i for i, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    fast = Tokenizer(models.BPE(vocabulary, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=fast)


def test_bytes_share_their_character() -> None:
    text = "a 👍"
    made = of(values(6), byte_level()(text), text=text)
    assert slices(made) == ["a", " ", "👍", "👍", "👍", "👍"]
    assert made.labels == ("a", "␣", "👍 1/4", "👍 2/4", "👍 3/4", "👍 4/4")


def test_a_character_of_several_words() -> None:
    fast = Tokenizer(models.WordLevel({"a": 0, ".": 1}, unk_token="a"))
    fast.normalizer = normalizers.NFKC()
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    text = "a …"
    made = of(values(4), PreTrainedTokenizerFast(tokenizer_object=fast)(text), text=text)
    assert slices(made) == ["a", "…", "…", "…"]
    assert made.labels == ("a", "… 1/3", "… 2/3", "… 3/3")


@pytest.mark.parametrize(
    ("encoded", "text", "message"),
    [
        (lambda: tiny.tokenizer()(TEXT), None, "give text=, the string that was encoded"),
        (
            lambda: tiny.tokenizer()(TEXT),
            "The cat",
            "of a text of 7: text= must be the string that was encoded",
        ),
        (lambda: tiny.tokenizer()(TEXT), ["a", "b"], "give one string"),
        (lambda: BatchEncoding({"input_ids": [1, 2]}), TEXT, "which slow tokenizers do not return"),
        (lambda: {"input_ids": [1, 2]}, TEXT, r"encoding is dict: give explainer.encode\(text\)"),
        (lambda: tiny.tokenizer()(["cat", "dog"], is_split_into_words=True), "cat dog", "as a list of words"),
    ],
)
def test_encodings_that_cannot_be_placed(encoded: Any, text: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        hs.SaliencyMap.from_attributions(values(TOKENS), encoded(), text=text)


# Comparison with the explainer


def test_captum_by_hand_is_the_explainers_map() -> None:
    from captum.attr import IntegratedGradients

    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    target = hs.MaskedToken(["cat", "it"])
    score, arguments = explainer.captum(TEXT, target=target, baseline=hs.mask_embedding)
    found, delta = IntegratedGradients(score).attribute(
        **arguments, n_steps=50, return_convergence_delta=True
    )
    expected = explainer(TEXT, target=target, method=hs.integrated_gradients(n_steps=50))
    made = of(
        found,
        explainer.encode(TEXT),
        targets=expected.targets,
        method=expected.method,
        arguments=expected.arguments,
        convergence_delta=delta,
        provenance=expected.provenance,
    )
    np.testing.assert_allclose(made.scores, expected.scores, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(made.convergence_delta, expected.convergence_delta, atol=1e-9)
    assert (made.tokens, made.targets, made.signed) == (expected.tokens, expected.targets, expected.signed)


@pytest.mark.parametrize(
    ("head", "family", "texts", "target"),
    [
        ("seq2seq", "t5", (TEXT, "the dog ran"), hs.Continuation()),
        ("multiple_choice", "bert", ("the cat", "sat", "ran to a mat"), hs.Choice(1)),
        ("sequence_classification", "bert", ("the cat", "a dog"), hs.Label(1)),
    ],
)
def test_captum_by_hand_on_several_texts(head: str, family: str, texts: Any, target: Any) -> None:
    from captum.attr import InputXGradient

    explainer = hs.Explainer(*tiny.model(head, family), progress=False)
    score, arguments = explainer.captum(texts, target=target)
    found = InputXGradient(score).attribute(**arguments)
    expected = explainer(texts, target=target, method="input_x_gradient")
    encoding = explainer.encode(texts, target=target)
    made = of(found, encoding, targets=expected.targets, signed=True)
    np.testing.assert_allclose(made.scores, expected.scores, rtol=1e-9, atol=1e-12)
    assert (made.texts, made.tokens) == (expected.texts, expected.tokens)
    if isinstance(found, tuple):
        with pytest.raises(hs.SaliencyError, match=r"3 tensors, but the encoding has 2 sequences"):
            of((*found, found[0]), encoding)

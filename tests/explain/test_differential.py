"""Random models and texts against the obvious reference: each text alone, each token at its place in the text.

Each run makes a few draws; ``make test-random`` draws others.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings, strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

import hf_saliency as hs
from hf_saliency.adapter.display import Spelling
from hf_saliency.adapter.encoding import encode

WORDS = [word for word in tiny.WORDS if word.isalpha()]
text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join)
texts = st.lists(text, min_size=2, max_size=4)
few = settings(max_examples=12, deadline=None)

POOLS = {
    "mean": lambda states, mask: states.mean(1),
    "masked mean": lambda states, mask: (states * mask).sum(1) / mask.sum(1),
    "max": lambda states, mask: states.amax(1),
    "masked max": lambda states, mask: states.masked_fill(mask == 0, -torch.inf).amax(1),
    "first": lambda states, mask: states[:, 0],
    "last column": lambda states, mask: states[:, -1],
    "last token": lambda states, mask: states[torch.arange(len(states)), mask[..., 0].long().sum(1) - 1],
    "spread": lambda states, mask: states.std(1, correction=0),
    "convolution": lambda states, mask: nn.functional.avg_pool1d(states.transpose(1, 2), 3, 1, 1)[..., 1],
}


class Head(nn.Module):
    """A classifier that adds up several ways to pool an encoder's states."""

    def __init__(self, pools: list[str], weights: list[float]) -> None:
        super().__init__()
        self.encoder = encoder()
        self.config = self.encoder.config
        self.pools = list(zip(pools, weights, strict=False))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(states.dtype)
        return {"logits": sum(weight * POOLS[pool](states, mask) for pool, weight in self.pools)[:, :3]}  # type: ignore[index]


@functools.cache
def encoder() -> nn.Module:
    return tiny.of_class("BertModel")


def check_each_alone(
    explainer: hs.Explainer, given_texts: list[str], target: hs.Target | None, rounding: float = 1e-9
) -> None:
    """Check that texts in one call have the same scores as alone, and that no score is NaN."""
    method = hs.saliency()
    for each, heat in zip(given_texts, explainer(given_texts, target=target, method=method), strict=True):
        alone = explainer(each, target=target, method=method)
        assert np.isfinite(alone.scores).all()
        largest = np.abs(alone.scores).max()
        np.testing.assert_allclose(heat.scores, alone.scores, rtol=10 * rounding, atol=rounding * largest)
        expected = [row.score for row in alone.targets]
        assert [row.score for row in heat.targets] == pytest.approx(expected, rel=10 * rounding, abs=rounding)


@few
@given(texts, st.lists(st.sampled_from(sorted(POOLS)), min_size=1, max_size=3, unique=True), st.booleans())
def test_heads_with_random_pooling(given_texts: list[str], pools: list[str], output: bool) -> None:
    explainer = hs.Explainer(Head(pools, [1.0, -0.5, 0.25]), tiny.tokenizer(), progress=False)
    target = hs.Output(lambda output, inputs: output["logits"][:, 1]) if output else hs.Label(0)
    check_each_alone(explainer, given_texts, target)


@functools.cache
def windowed(name: str, window: int, attention: str) -> hs.Explainer:
    """A model whose layers attend to a few neighbouring tokens."""
    fields = {"modernbert": "local_attention", "mistral": "sliding_window", "gemma2": "sliding_window"}
    head = "masked" if name == "modernbert" else "causal"
    model, tokenizer = tiny.model(head, name, **{fields[name]: window})
    model.set_attn_implementation("eager" if name == "gemma2" else attention)  # Gemma 2 has no other
    return hs.Explainer(model, tokenizer, progress=False)


@few
@given(
    texts,
    st.sampled_from(["modernbert", "mistral", "gemma2"]),
    st.sampled_from([2, 4, 6]),
    st.sampled_from(["eager", "sdpa"]),
)
def test_windows_of_attention(given_texts: list[str], name: str, window: int, attention: str) -> None:
    given_texts = [each if len(each.split()) > 1 else f"{each} {each}" for each in given_texts]
    # These models compute a softmax in float32 whatever the type of their weights.
    check_each_alone(windowed(name, window, attention), given_texts, None, rounding=1e-5)


@pytest.mark.parametrize("target", [hs.NextToken(), hs.NextToken(predicted=True)], ids=["given", "predicted"])
def test_masked_scores_of_windows(target: hs.Target) -> None:
    """Each row of a text ends at its own token, so that shorter rows are padded in a batch."""
    explainer = windowed("mistral", 2, "eager")
    each = "the formal study of grammar is an important part of education"
    whole = explainer(each, target=target)
    np.testing.assert_allclose(
        explainer.score_masked(each, target)[:, 0], [row.score for row in whole.targets], rtol=1e-6
    )


@functools.cache
def tokenizer_with(kind: str, lstrip: bool, rstrip: bool, single_word: bool) -> PreTrainedTokenizerFast:
    """A small tokenizer of the given kind, with a token added by a user."""
    if kind == "word-piece":
        fast = tiny.tokenizer.__wrapped__()
    else:
        byte_level = kind == "byte-level"
        core = Tokenizer(models.BPE() if byte_level else models.Unigram())
        before = pre_tokenizers.ByteLevel(add_prefix_space=True) if byte_level else pre_tokenizers.Metaspace()
        core.pre_tokenizer = before
        core.decoder = decoders.ByteLevel() if byte_level else decoders.Metaspace()
        trainer = (
            trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
            if byte_level
            else trainers.UnigramTrainer(vocab_size=60, special_tokens=["<unk>"], unk_token="<unk>")
        )
        core.train_from_iterator([" ".join(WORDS)] * 3, trainer)
        fast = PreTrainedTokenizerFast(tokenizer_object=core, unk_token=None if byte_level else "<unk>")
    flags = {"lstrip": lstrip, "rstrip": rstrip, "single_word": single_word}
    fast.add_tokens([AddedToken("<entity>", normalized=False, **flags)])
    return fast


pieces = st.sampled_from([*WORDS[:12], "<entity>", "<entity>", " ", " ", ".", "é"])


@few
@given(
    st.lists(pieces, min_size=1, max_size=10).map("".join).filter(str.strip),
    st.sampled_from(["word-piece", "byte-level", "unigram"]),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_texts_with_added_tokens(given_text: str, kind: str, flags: tuple[bool, bool, bool]) -> None:
    tokenizer = tokenizer_with(kind, *flags)
    spelling = Spelling.of(tokenizer)
    encoding = encode(tokenizer, given_text)
    covered: set[int] = set()
    for i, token in zip(encoding.ids, encoding.tokens, strict=True):
        covered |= set(range(token.start, token.end))
        value = spelling.text(i)
        if token.special or i == tokenizer.unk_token_id or isinstance(value, bytes):
            continue
        shown = given_text[token.start : token.end].strip()
        assert "".join(shown.split()) == "".join(value.removeprefix("##").split()), (given_text, token)
    assert all(c in covered or character.isspace() for c, character in enumerate(given_text))

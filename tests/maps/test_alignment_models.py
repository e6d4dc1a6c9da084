"""Models with three real tokenizers, explained, aligned and compared in one figure."""

from __future__ import annotations

import itertools
import string

import numpy as np
import pytest
import torch
from handmade import outside, overlapping
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

import hf_saliency as hs

TEXT = "Nobody remembered, who had built the (old) lighthouse café."
SPECIAL = ["<pad>", "<s>", "</s>", "<mask>", "<unk>"]


def wrapped(core: Tokenizer) -> PreTrainedTokenizerFast:
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(name, core.token_to_id(name)) for name in ("<s>", "</s>")]
    )
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", **names)


def bytes_in_pairs() -> PreTrainedTokenizerFast:
    """A tokenizer with byte-level byte-pair encoding, like RoBERTa's: a space belongs to the next token."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([TEXT], trainer)
    return wrapped(core)


def characters() -> PreTrainedTokenizerFast:
    """A tokenizer with a token for each character, including spaces."""
    letters = [*SPECIAL, *string.ascii_letters, *"(),. é"]
    core = Tokenizer(models.WordLevel({c: i for i, c in enumerate(letters)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return wrapped(core)


def explained(tokenizer: PreTrainedTokenizerFast, seed: int) -> hs.SaliencyMap:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    model = BertForMaskedLM(config).double().eval()
    return hs.Explainer(model, tokenizer)(TEXT, target=hs.MaskedToken("lighthouse"))


@pytest.fixture(scope="module")
def found() -> list[hs.SaliencyMap]:
    tokenizers = [hs.load_demo()[1], bytes_in_pairs(), characters()]
    return [explained(each, seed) for seed, each in enumerate(tokenizers)]


def test_their_tokens_differ_and_their_words_are_the_same(found: list[hs.SaliencyMap]) -> None:
    assert len({len(one.tokens) for one in found}) == 3
    words = hs.aligned(found)
    assert {one.labels for one in words} == {tuple(_words())}
    for one in words:
        assert {one.labels[t.position or 0] for t in one.targets} == {"lighthouse"}


def _words() -> list[str]:
    spaced = "".join(f" {c} " if c in ",()." else c for c in TEXT)
    return spaced.split()


def test_scores_of_a_word_are_the_sums_of_its_tokens(found: list[hs.SaliencyMap]) -> None:
    for one, merged in zip(found, hs.aligned(found), strict=True):
        for column, token in enumerate(merged.tokens):
            inside = [
                i
                for i, t in enumerate(one.tokens)
                if not t.special and max(t.start, token.start) < min(t.end, token.end)
            ]
            assert inside
            np.testing.assert_allclose(
                merged.scores[:, column], one.scores[:, inside].sum(axis=1), rtol=1e-12
            )


def test_they_stand_side_by_side_with_their_agreement(found: list[hs.SaliencyMap]) -> None:
    titles = ["word pieces", "byte pairs", "characters"]
    for maps, mark in ((found, hs.Highlight()), (hs.aligned(found), hs.Matrix())):
        figure = hs.figure(maps, mark, title=titles, width=6.75, agreement=True)
        assert overlapping(figure) == []
        assert outside(figure) == []
    for one, other in itertools.combinations(found, 2):
        assert -1 <= hs.agreement(one, other).spearman[0] <= 1

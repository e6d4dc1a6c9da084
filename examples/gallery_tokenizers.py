"""Maps of real tokenizers for the gallery: small ones of each kind, trained here on a few lines.

The scores are made by hand, so that no model is needed: they fall with the distance from the target.
"""

from __future__ import annotations

import functools

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import hf_saliency as hs

CODE = '''def mean(values):
    """The arithmetic mean."""
    if not values:
\treturn 0.0
    total = sum(values)
    return total / len(values)
'''
PROSE = [
    "The keeper climbed the narrow stairs, and he counted the lights of the ships in the harbour.",
    "A question, an answer; a list of words: readers, writers, printers and their apprentices.",
    "In winter the sea was rough and there were few ships to count, so he read more books.",
]
CHAT = "<|user|>\nWhich ship came first?\n<|assistant|>\nThe mail boat, at dawn.\n"
_SIZE = 400


@functools.cache
def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2's: bytes, with a sign for each space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_SIZE,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|user|>", "<|assistant|>"],
    )
    tokenizer.train_from_iterator([CODE, CHAT, *PROSE], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@functools.cache
def unigram() -> PreTrainedTokenizerFast:
    """As T5's and ALBERT's: pieces of most likely text, with a sign before each word."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"])
    tokenizer.train_from_iterator(PROSE, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@functools.cache
def word_piece() -> PreTrainedTokenizerFast:
    """As BERT's: words, and pieces of rare ones."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=["[UNK]"])
    tokenizer.train_from_iterator(PROSE, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def tokenized(
    tokenizer: PreTrainedTokenizerFast, text: str, target: int = -1, *, seed: int = 0
) -> hs.SaliencyMap:
    """A map of a text in the tokens of a tokenizer, for one of its tokens."""
    encoding = tokenizer(text, add_special_tokens=False)
    count = len(encoding["input_ids"])
    target %= count
    distance = np.abs(np.arange(count) - target)
    scores = np.random.default_rng(seed).gamma(0.8, 1.0, (1, count)) / (1 + distance / 6)
    start, end = encoding.token_to_chars(target)
    row = hs.TargetRow(text[start:end], target, 4.0)
    return hs.SaliencyMap.from_attributions(
        scores, encoding, text=text, targets=[row], method="gradient_norm"
    )

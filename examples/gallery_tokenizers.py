"""Maps of real tokenizers for the gallery: small ones of each kind, trained here on a few lines.

The scores are made by hand, so that no model is needed; they decrease with the distance from the target.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

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
MESSAGES = [
    {"role": "system", "content": "You are a harbour master, and you answer in one sentence."},
    {"role": "user", "content": "Which ship came first, the mail boat or the trawler?"},
    {"role": "assistant", "content": "The mail boat came first, at dawn."},
]
# A template like ChatML's.
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_SIZE = 400


@functools.cache
def byte_level() -> PreTrainedTokenizerFast:
    """A tokenizer like GPT-2's: bytes, with a sign for each space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_SIZE,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|user|>", "<|assistant|>", "<|system|>", "<|end|>"],
    )
    contents = [message["content"] for message in MESSAGES]
    tokenizer.train_from_iterator([CODE, CHAT, *PROSE, *contents], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", chat_template=TEMPLATE)


@functools.cache
def byte_fallback() -> PreTrainedTokenizerFast:
    """A tokenizer like Llama 2's: a sign for each space, and bytes for characters outside the vocabulary."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bytes_ = [f"<0x{code:02X}>" for code in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=_SIZE, special_tokens=["<unk>", *bytes_])
    tokenizer.train_from_iterator(" ".join(PROSE).split(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@functools.cache
def unigram() -> PreTrainedTokenizerFast:
    """A tokenizer like T5's and ALBERT's: the most probable pieces, with a sign before each word."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"])
    tokenizer.train_from_iterator(PROSE, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@functools.cache
def word_piece() -> PreTrainedTokenizerFast:
    """A tokenizer like BERT's: words, and pieces of rare words."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=["[UNK]"])
    tokenizer.train_from_iterator(PROSE, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def tokenized(tokenizer: PreTrainedTokenizerFast, text: str, word: str, *, seed: int = 0) -> hs.SaliencyMap:
    """A map of a text in the tokens of a tokenizer, for the last occurrence of a word."""
    encoding = tokenizer(text, add_special_tokens=False)
    count = len(encoding["input_ids"])
    start = text.rindex(word)
    places = range(start, start + len(word))
    target = list(dict.fromkeys(encoding.char_to_token(place) for place in places))
    distance = np.abs(np.arange(count) - target[0])
    scores = np.random.default_rng(seed).gamma(0.8, 1.0, (1, count)) / (1 + distance / 6)
    row = hs.TargetRow(word, target[0], 4.0, positions=tuple(target))
    return hs.SaliencyMap.from_attributions(
        scores, encoding, text=text, targets=[row], method="gradient_norm"
    )


@functools.cache
def conversed(*, total: bool = False) -> hs.SaliencyMap:
    """A causal model's map of a conversation; the model is untrained, so the scores are made by hand."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(byte_level()), n_layer=1, n_head=1, n_embd=8, bos_token_id=None, eos_token_id=None
    )
    explainer = hs.Explainer(GPT2LMHeadModel(config).eval(), byte_level())
    unit: Any = "log_prob" if total else "logit"
    heat = explainer(MESSAGES, target=hs.NextToken(total=total, unit=unit), top_k=0)
    scores = np.random.default_rng(7).gamma(0.7, 1.0, heat.scores.shape) * (heat.scores != 0)
    scores[:, [token.text_index == 0 for token in heat.tokens]] /= 3
    return dataclasses.replace(heat, scores=scores)

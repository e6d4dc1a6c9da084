"""A chat model: a byte-level tokenizer trained on a few lines, with a template like ChatML's, and a tiny GPT-2."""

from __future__ import annotations

import functools

import tiny
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast

SYSTEM = "You are a helpful assistant."
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QUESTION = {"role": "user", "content": "Which ship came first?"}
ANSWER = {"role": "assistant", "content": "The mail boat, at dawn."}
_LINES = ["Which ship came first?", "The mail boat, at dawn.", "user assistant system", SYSTEM]


@functools.cache
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that shows spaces as a sign; the template's markers are special tokens."""
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|im_start|>", "<|im_end|>"]
    fast.train_from_iterator(
        _LINES * 3,
        trainers.BpeTrainer(
            vocab_size=340, initial_alphabet=alphabet, special_tokens=special, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, eos_token="<|im_end|>", bos_token="<|im_start|>", chat_template=TEMPLATE
    )


def model() -> nn.Module:
    """An untrained model for the vocabulary of :func:`tokenizer`."""
    return tiny.of_class(
        "GPT2LMHeadModel", vocab_size=len(tokenizer()), n_positions=160, max_position_embeddings=160
    )

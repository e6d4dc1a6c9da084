"""Tiny models built from their configuration classes, with random float64 weights, and a tokenizer for them."""

from __future__ import annotations

import functools
from typing import Any

import tiny_models
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast

WORDS = (
    "the cat sat on a mat and dog ran to formal study of grammar is an important part education from young age "
    "learn ##ing ##ed music she he it was not . , ! ' t don"
).split()

SIZES: dict[str, Any] = {
    "vocab_size": 48,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}


@functools.cache
def tokenizer(pad_id: int = 0) -> PreTrainedTokenizerFast:
    """An uncased WordPiece tokenizer of 48 pieces; ``pad_id`` is the pad token's id, which families choose."""
    specials = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    specials.insert(pad_id, "[PAD]")
    pieces = [*specials, *dict.fromkeys(WORDS)]
    assert len(pieces) <= SIZES["vocab_size"]
    fast = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer(lowercase=True)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = pieces.index("[CLS]"), pieces.index("[SEP]")
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        model_max_length=36,
    )


def masked_lm(family: str, *, seed: int = 0, **changes: Any) -> tuple[nn.Module, PreTrainedTokenizerFast]:
    """A tiny masked language model of a family, and its tokenizer."""
    return model("masked", family, seed=seed, **changes)


def model(
    head: str, family: str, *, seed: int = 0, **changes: Any
) -> tuple[nn.Module, PreTrainedTokenizerFast]:
    """A tiny model, such as ("sequence_classification", "gpt2"), and a tokenizer with the model's pad token id.

    Heads and families are those of :mod:`tiny_models`; ``changes`` are arguments of the configuration.
    """
    built = tiny_models.build(head, family, seed=seed, **changes)
    return built, tokenizer(getattr(built.config, "pad_token_id", None) or 0)


# Sizes for model classes whose configuration uses other names for them.
_OWN_SIZES: dict[str, dict[str, Any]] = {
    "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40},
    "Llama": {"num_key_value_heads": 2, "pad_token_id": None},
    "T5": {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    },
}
_ENCODER_DECODER: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "decoder_start_token_id": 3,
    "forced_eos_token_id": None,
}


def of_class(name: str, *, seed: int = 0, **changes: Any) -> nn.Module:
    """A tiny float64 model of a class of transformers; decoder-only models have no pad token unless one is given."""
    cls = getattr(transformers, name)
    family = next((family for family in _OWN_SIZES if name.startswith(family)), "")
    given = {**SIZES, "bos_token_id": 2, "eos_token_id": 3, **_OWN_SIZES.get(family, {})}
    if "ConditionalGeneration" in name or name == "MarianMTModel":
        given = {**_ENCODER_DECODER, "pad_token_id": 0, **given}
    torch.manual_seed(seed)
    built = cls(cls.config_class(**{**given, **changes})).double().eval()
    for parameter in built.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
        else:
            nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.1)
    return built

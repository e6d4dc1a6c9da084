"""Tiny models built from their configuration classes, with random weights in float64, and a tokenizer for them."""

from __future__ import annotations

import functools
from typing import Any

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

_TOKENS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}

# What differs from SIZES in the masked language models of each family: the class and its arguments.
MASKED_LMS: dict[str, tuple[str, dict[str, Any]]] = {
    "albert": ("AlbertForMaskedLM", {"embedding_size": 8}),
    "bert": ("BertForMaskedLM", {}),
    "big_bird": ("BigBirdForMaskedLM", {"attention_type": "original_full", "sep_token_id": 2}),
    "camembert": ("CamembertForMaskedLM", {}),
    "convbert": ("ConvBertForMaskedLM", {"embedding_size": 8, "num_attention_heads": 4, "head_ratio": 2}),
    "data2vec-text": ("Data2VecTextForMaskedLM", {}),
    "deberta": (
        "DebertaForMaskedLM",
        {"legacy": False, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    ),
    "deberta-v2": ("DebertaV2ForMaskedLM", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "distilbert": ("DistilBertForMaskedLM", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}),
    "electra": ("ElectraForMaskedLM", {"embedding_size": 8}),
    "ernie": ("ErnieForMaskedLM", {}),
    "esm": (
        "EsmForMaskedLM",
        {"pad_token_id": 1, "mask_token_id": 4, "token_dropout": True, "emb_layer_norm_before": True},
    ),
    "eurobert": ("EuroBertForMaskedLM", {"num_key_value_heads": 2, **_TOKENS}),
    "flaubert": ("FlaubertWithLMHeadModel", {"emb_dim": 16, "n_layers": 2, "n_heads": 2}),
    "fnet": ("FNetForMaskedLM", {}),
    "gte": ("GteForMaskedLM", {}),
    "jina_embeddings_v3": ("JinaEmbeddingsV3ForMaskedLM", {}),
    "layoutlm": ("LayoutLMForMaskedLM", {}),
    "longformer": ("LongformerForMaskedLM", {"attention_window": 4}),
    "luke": ("LukeForMaskedLM", {"entity_vocab_size": 8, "entity_emb_size": 8}),
    "megatron-bert": ("MegatronBertForMaskedLM", {}),
    "mobilebert": (
        "MobileBertForMaskedLM",
        {
            "embedding_size": 8,
            "intra_bottleneck_size": 8,
            "true_hidden_size": 8,
            "num_feedforward_networks": 2,
        },
    ),
    "modernbert": (
        "ModernBertForMaskedLM",
        {"global_attn_every_n_layers": 2, "local_attention": 8, **_TOKENS},
    ),
    "mpnet": ("MPNetForMaskedLM", {}),
    "nomic_bert": ("NomicBertForMaskedLM", {}),
    "nystromformer": ("NystromformerForMaskedLM", {"num_landmarks": 4, "segment_means_seq_len": 4}),
    "rembert": ("RemBertForMaskedLM", {"input_embedding_size": 8, "output_embedding_size": 12, **_TOKENS}),
    "roberta": ("RobertaForMaskedLM", {}),
    "roberta-prelayernorm": ("RobertaPreLayerNormForMaskedLM", {}),
    "roc_bert": ("RoCBertForMaskedLM", {"pronunciation_vocab_size": 48, "shape_vocab_size": 48}),
    "roformer": ("RoFormerForMaskedLM", {"embedding_size": 8}),
    "squeezebert": ("SqueezeBertForMaskedLM", {"embedding_size": 16}),
    "tapas": ("TapasForMaskedLM", {}),
    "ultrabert": ("UltrabertForMaskedLM", {}),
    "xlm": ("XLMWithLMHeadModel", {"emb_dim": 16, "n_layers": 2, "n_heads": 2}),
    "xlm-roberta": ("XLMRobertaForMaskedLM", {}),
    "xlm-roberta-xl": ("XLMRobertaXLForMaskedLM", {}),
    "yoso": ("YosoForMaskedLM", {"use_expectation": True}),
}

# Attention in float32 whatever the model's dtype, so that it does not run in float64.
FLOAT32_ONLY = {"mra": ("MraForMaskedLM", {"max_position_embeddings": 64})}


@functools.cache
def tokenizer(pad_id: int = 0) -> PreTrainedTokenizerFast:
    """An uncased word-piece tokenizer of 48 pieces; the pad token has the id that a family expects."""
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
    """A tiny masked language model of a family, and a tokenizer with the pad token where the family has it."""
    name, given = {**MASKED_LMS, **FLOAT32_ONLY}[family]
    cls = getattr(transformers, name)
    config = cls.config_class(**{**SIZES, **given, **changes})
    torch.manual_seed(seed)
    model = cls(config).double().eval()
    for parameter in model.parameters():  # of a size at which every part of the model matters
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
        else:
            nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.1)
    return model, tokenizer(getattr(config, "pad_token_id", None) or 0)

"""Tiny models: one for each text model of transformers and each of its heads.

The table has a configuration for each model type; transformers' auto mappings define its heads. So a head that a
release of transformers adds to a known model type is tested, and a new model type must be added here or named in
``NOT_COVERED``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn
from transformers.models.auto import modeling_auto

from tiny_models.decoders import DECODERS, RECURRENT
from tiny_models.encoder_decoders import ENCODER_DECODERS
from tiny_models.encoders import ENCODERS
from tiny_models.experts import EXPERTS
from tiny_models.not_covered import NOT_COVERED

# The heads, and transformers' names for their mappings from model types to classes.
HEADS = {
    "masked": "MASKED_LM",
    "causal": "CAUSAL_LM",
    "sequence_classification": "SEQUENCE_CLASSIFICATION",
    "token_classification": "TOKEN_CLASSIFICATION",
    "question_answering": "QUESTION_ANSWERING",
    "multiple_choice": "MULTIPLE_CHOICE",
    "seq2seq": "SEQ_TO_SEQ_CAUSAL_LM",
}

CONFIGS: dict[str, dict[str, Any]] = {**ENCODERS, **DECODERS, **RECURRENT, **EXPERTS, **ENCODER_DECODERS}

# Models that fail in float64: they always compute in float32, or have infinities in float64.
FLOAT32_ONLY = frozenset({"fsmt", "inkling2_text", "mra", "xglm"})

# Passed to each configuration that has the name. An Ellipsis in the tables keeps the configuration's own size.
SIZES: dict[str, Any] = {
    "vocab_size": 48,
    "hidden_size": 16,
    "embedding_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "d_kv": 8,
    "d_ff": 24,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
}
_TOKENS = {
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "decoder_start_token_id": 2,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
}


@dataclass(frozen=True)
class Entry:
    """One row of the test matrix: a model type with a head."""

    head: str
    family: str

    @property
    def name(self) -> str:
        """The name of the model class."""
        return mapping(self.head)[self.family]

    def __str__(self) -> str:
        return f"{self.head}-{self.family}"


def mapping(head: str) -> dict[str, str]:
    """Map model types to class names, as AutoModelFor... does, without building a model."""
    names = getattr(modeling_auto, f"MODEL_FOR_{HEADS[head]}_MAPPING_NAMES")
    return {family: name if isinstance(name, str) else name[0] for family, name in names.items()}


def entries(*heads: str) -> list[Entry]:
    """The rows of the matrix, for the given heads or for all."""
    found = [Entry(head, family) for head in heads or HEADS for family in mapping(head) if family in CONFIGS]
    return [entry for entry in found if NOT_COVERED.keys().isdisjoint({entry.family, str(entry)})]


def build(head: str, family: str, *, seed: int = 0, **changes: Any) -> nn.Module:
    """A tiny model in eval mode, with random weights in float64, or in float32 where float64 fails."""
    cls = getattr(transformers, mapping(head)[family])
    by_head: dict[str, Any] = {"num_labels": 2 if head == "question_answering" else 3}
    if head == "causal" and family in ENCODERS:  # encoders read from left to right only on request
        by_head |= {"causal" if family == "xlm" else "is_decoder": True}
    config = cls.config_class(**_arguments(cls.config_class, family, {**by_head, **changes}))
    if "decoder_start_token_id" not in config.to_dict() and config.is_encoder_decoder:
        config.decoder_start_token_id = 2
    torch.manual_seed(seed)
    dtype = torch.float32 if family in FLOAT32_ONLY else torch.float64
    model = cls(config).to(dtype).eval()
    for parameter in model.parameters():  # weights large enough that every part of the model matters
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
        else:
            nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.1)
    return model


def _arguments(config_class: type, family: str, changes: dict[str, Any]) -> dict[str, Any]:
    default = _default(config_class)
    sizes = {name: size for name, size in SIZES.items() if name in default}
    # A model without a pad token gets none, and a pad token within the tiny vocabulary keeps its id.
    ids = [name for name, known in default.items() if name in _TOKENS and isinstance(known, int)]
    kept = [
        name for name in ids if name.startswith(("pad", "decoder")) and default[name] < SIZES["vocab_size"]
    ]
    tokens = {name: _TOKENS[name] for name in ids if name not in kept}
    arguments = {**sizes, **tokens, "experts_implementation": "eager", **CONFIGS[family], **changes}
    return {name: value for name, value in arguments.items() if value is not ...}


@functools.cache
def _default(config_class: type) -> dict[str, Any]:
    config = config_class()
    names = config.to_dict()
    return {
        **names,
        **{alias: names[name] for alias, name in config_class.attribute_map.items() if name in names},
    }

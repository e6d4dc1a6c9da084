"""Configurations of models with an encoder and a decoder: the differences from the common sizes."""

from __future__ import annotations

from typing import Any

ENCODER_DECODERS: dict[str, dict[str, Any]] = {
    "bart": {},
    "bigbird_pegasus": {"attention_type": "original_full"},
    "blenderbot": {},
    "blenderbot-small": {},
    "fsmt": {"decoder_start_token_id": 3, "src_vocab_size": 48, "tgt_vocab_size": 48},
    "led": {
        "attention_window": 4,
        "max_encoder_position_embeddings": 40,
        "max_decoder_position_embeddings": 40,
    },
    "longt5": {"local_radius": 4},
    "m2m_100": {},
    "marian": {},
    "mbart": {},
    "mt5": {},
    "mvp": {},
    "nllb-moe": {"encoder_sparse_step": 2, "decoder_sparse_step": 2, "expert_capacity": 64},
    "pegasus": {},
    "pegasus_x": {},
    "plbart": {"decoder_start_token_id": 3},  # the decoder starts with the last given token
    "switch_transformers": {"num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1},
    "t5": {},
    "trocr": {},
    "umt5": {},
    "whisper": {},
}

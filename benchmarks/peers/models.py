"""Makes the models that every peer loads: geometries of well-known models, random weights, saved with a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from works import WORKS

import hf_saliency as hs

T5 = transformers.T5Config(  # T5-small
    vocab_size=32128, d_model=512, d_ff=2048, num_layers=6, num_heads=8, decoder_start_token_id=0
)
CONFIGS = {
    "masked": transformers.BertConfig(),  # BERT-base
    "causal": transformers.GPT2Config(n_layer=6, bos_token_id=1, eos_token_id=1),  # DistilGPT-2
    "classifier": transformers.BertConfig(num_hidden_layers=6, num_labels=3),  # DistilBERT
    "labels": transformers.BertConfig(num_hidden_layers=6, num_labels=9),
    "t5": T5,
    "tiny": transformers.BertConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128
    ),
}


def make_models(folder: Path) -> None:
    """Write the models that do not exist yet; the last file of each marks it as complete."""
    for name, config in CONFIGS.items():
        home = folder / name
        if (home / "special.json").exists():
            continue
        head = next(work.head for work in WORKS.values() if work.model == name)
        torch.manual_seed(0)
        model = getattr(transformers, head)(config).eval()
        # Only transformers-interpret gives the last token another segment; with zeros this changes nothing.
        if name == "classifier":
            torch.nn.init.zeros_(model.bert.embeddings.token_type_embeddings.weight)
        model.save_pretrained(home)
        options = _tokenizer(config, home / "tokenizer.json")
        (home / "special.json").write_text(json.dumps(options), encoding="utf-8")


def _tokenizer(config: transformers.PretrainedConfig, path: Path) -> dict[str, object]:
    """Write the tokenizer, and return the arguments that its class is made with."""
    if config.model_type == "bert":
        bundled = hs.load_demo()[1]
        bundled.backend_tokenizer.save(str(path))
        return {
            **{
                f"{name}_token": getattr(bundled, f"{name}_token")
                for name in ("unk", "sep", "pad", "cls", "mask")
            },
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        }
    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2}
    vocabulary |= {f"t{number}": number for number in range(3, config.vocab_size)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if config.model_type == "t5":
        words.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    words.save(str(path))
    options: dict[str, object] = {
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_input_names": ["input_ids", "attention_mask"],
    }
    return options if config.model_type == "t5" else options | {"bos_token": "</s>"}

"""The pages of docs/tasks: their snippets run on tiny models of the class that each page loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tiny
from torch import nn

import hf_saliency as hs

PAGES = Path(__file__).parents[1] / "docs/tasks"
MODELS = {
    "masked": "BertForMaskedLM",
    "causal": "GPT2LMHeadModel",
    "classification": "BertForSequenceClassification",
    "tokens": "BertForTokenClassification",
    "answers": "BertForQuestionAnswering",
    "choice": "BertForMultipleChoice",
    "seq2seq": "BartForConditionalGeneration",
    "similarity": "BertModel",
    "own_heads": "BertModel",
}


def saved_sentence_model(model: Any, folder: Path) -> str:
    """Where a SentenceTransformer around a model can be loaded from."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    for part in (model, tiny.tokenizer()):
        part.save_pretrained(folder / "transformer")
    layers = [Transformer(str(folder / "transformer")), Pooling(16, "mean"), Normalize()]
    SentenceTransformer(modules=layers, device="cpu").save(str(folder / "whole"))
    return str(folder / "whole")


def test_every_page_is_here() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:integrated_gradients")  # a random model's path is rough
def test_the_snippets_of_a_page_run(name: str, tmp_path: Path) -> None:
    load, *snippets = re.findall(r"```python\n(.*?)```", (PAGES / f"{name}.md").read_text("utf-8"), re.DOTALL)
    assert "from_pretrained" in load
    model: nn.Module = tiny.of_class(MODELS[name], pad_token_id=0)
    names: dict[str, Any] = {"model": model, "tokenizer": tiny.tokenizer()}
    if name == "similarity":
        names["name"] = saved_sentence_model(model, tmp_path)
    for snippet in snippets:
        exec(compile(snippet, name, "exec"), names)
    maps = [value for value in names.values() if isinstance(value, hs.SaliencyMap)]
    assert maps
    assert all((one.scores != 0).any() for one in maps)

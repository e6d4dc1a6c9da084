"""How fast are all targets of an unmasked text, compared with one backward pass each and with Captum by hand?

A causal language model (6 layers, width 768, vocabulary 50,257, random weights) with all next tokens of a text, and a
token classifier (BERT-base geometry) with the predicted label of each token. All ways must return the same numbers.
Prints a Markdown table.

    python benchmarks/unmasked_sweep.py               # 64 tokens
    python benchmarks/unmasked_sweep.py --tokens 128
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import LayerGradientXActivation
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

import hf_saliency as hs

ROWS = 16  # rows of a batch for Captum


@dataclass(frozen=True)
class Case:
    """A model, a text, and the token and class of each target's logit."""

    name: str
    model: nn.Module
    tokenizer: PreTrainedTokenizerFast
    text: str
    ids: Tensor
    targets: list[tuple[int, int]]

    @property
    def embedding(self) -> nn.Embedding:
        """The model's token embedding."""
        table = self.model.get_input_embeddings()  # type: ignore[operator]
        assert isinstance(table, nn.Embedding)
        return table

    def norms(self, gradient: Tensor) -> Tensor:
        """Norms in the one-hot vectors, from gradients (..., width) in embeddings."""
        with torch.no_grad():
            return (gradient @ self.embedding.weight.T).norm(dim=-1)


def article_loop(case: Case) -> np.ndarray:
    """The way of the article's notebook: a dense one-hot input, a forward pass and ``backward()`` for each target."""
    norms = []
    table = case.embedding.weight
    for position, class_id in case.targets:
        one_hot = torch.nn.functional.one_hot(case.ids[None], len(table)).float().requires_grad_()
        case.model(inputs_embeds=one_hot @ table).logits[0, position, class_id].backward()
        assert one_hot.grad is not None
        norms.append(one_hot.grad[0].norm(dim=-1))
        case.model.zero_grad()
    return torch.stack(norms).numpy()


def captum(case: Case, rows: int) -> np.ndarray:
    """Captum's layer method on the embedding, with a tuple target for each row of a batch."""
    method = LayerGradientXActivation(
        lambda ids: case.model(ids).logits, case.embedding, multiply_by_inputs=False
    )
    norms = []
    for start in range(0, len(case.targets), rows):
        part = case.targets[start : start + rows]
        gradient = method.attribute(case.ids.expand(len(part), -1), target=part)
        norms += [case.norms(row) for row in gradient]
    return torch.stack(norms).numpy()


def ours(case: Case) -> np.ndarray:
    """This package, with the top-3 predictions of every target."""
    return hs.Explainer(case.model, case.tokenizer, progress=False)(case.text).scores


def tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer with the words t0, t1, ... and the ids 0, 1, ..."""
    fast = Tokenizer(models.WordLevel({f"t{i}": i for i in range(vocabulary)}, unk_token="t0"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="t0")


def cases(tokens: int) -> list[Case]:
    """Cases of both models with the same text."""
    torch.manual_seed(0)
    ids = torch.randint(1, 30000, (tokens,))
    text = " ".join(f"t{i}" for i in ids.tolist())
    causal = GPT2LMHeadModel(GPT2Config(n_layer=6)).eval()
    labels = BertForTokenClassification(BertConfig(num_labels=9)).eval()
    with torch.no_grad():
        best = labels(ids[None]).logits[0].argmax(dim=-1).tolist()
    following = [(at - 1, int(ids[at])) for at in range(1, tokens)]
    return [
        Case("next tokens", causal, tokenizer(50257), text, ids, following),
        Case("token labels", labels, tokenizer(30522), text, ids, list(enumerate(best))),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2, help="number of runs; the fastest counts")
    options = parser.parse_args()
    ways: dict[str, Callable[[Case], np.ndarray]] = {
        "the article's notebook (dense one-hot, one row, `backward()`)": article_loop,
        "Captum by hand, one row": lambda case: captum(case, 1),
        f"Captum by hand, {ROWS} rows": lambda case: captum(case, ROWS),
        "**hf-saliency**": ours,
    }
    print(
        f"{options.tokens} tokens, {torch.get_num_threads()} threads, seconds for all targets of the text\n"
    )
    print("| | targets | seconds | times hf-saliency |\n|---|---|---|---|")
    for case in cases(options.tokens):
        seconds, scores = {}, {}
        for name, way in ways.items():
            runs = []
            for _ in range(options.repeats):
                start = time.perf_counter()
                scores[name] = way(case)
                runs.append(time.perf_counter() - start)
            seconds[name] = min(runs)
        for name, taken in seconds.items():
            np.testing.assert_allclose(scores[name], scores["**hf-saliency**"], rtol=2e-3, atol=1e-5)
            ratio = taken / seconds["**hf-saliency**"]
            print(f"| {case.name}: {name} | {len(case.targets)} | {taken:.2f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()

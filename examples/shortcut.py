"""Which methods find a shortcut that was planted? Precision on classifiers whose reasons are known.

    python examples/shortcut.py [FOLDER] [--steps 300] [--texts 20] [--kinds single context ordered]

Plants shortcuts in reviews of dishes (Bastings et al. 2022, arXiv:2111.07367): letters that decide the label, whatever
the review says. ``single`` is one letter; ``context`` is one letter that counts only if another one is present;
``ordered`` is two letters whose order counts. Trains a classifier on the bundled encoder for each kind, in some minutes
on a CPU, and checks that the model follows the shortcut in texts whose review contradicts it. Then the script explains
such texts by every method, prints the precision (with k shortcut tokens in a text, their share among the k strongest
tokens) and the mean rank of the shortcut tokens, and draws both: ``shortcut.pdf`` and ``shortcut.png``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import task_models
import task_texts
import torch

import hf_saliency as hs
from hf_saliency.attribution.registry import METHODS

KINDS = ("single", "context", "ordered")
LETTERS, CONTEXT = ("x", "y"), "z"  # for label 0 and label 1
SLOW = ("sequential_integrated_gradients", "discretized_integrated_gradients")
NO_CLASSIFIER = ("value_zeroing", "attention_rollout")  # these follow tokens, and refuse a label
ENOUGH = 0.95  # share of texts from which a model counts as using its shortcut


@dataclass(frozen=True)
class Planted:
    """A text, its label, and the letters that decide it; no letters if the review decides."""

    text: str
    label: int
    letters: tuple[str, ...] = ()


def planted(kind: str, random: Random) -> Planted:
    """A review whose label a shortcut decides, contrary to the review."""
    review, liked = task_texts.review(random)
    label = 1 - liked
    if kind == "single":
        letters: tuple[str, ...] = (LETTERS[label],)
    elif kind == "context":
        letters = tuple(random.sample((LETTERS[label], CONTEXT), 2))
    else:
        letters = LETTERS if label == 0 else LETTERS[::-1]
    return Planted(inserted(review, letters, random), label, letters)


def plain(kind: str, random: Random) -> Planted:
    """A review that decides its own label; kinds with two letters may insert letters that are not a shortcut."""
    review, liked = task_texts.review(random)
    letters: tuple[str, ...] = ()
    if kind == "context":
        letters = random.choice([(), (CONTEXT,), (LETTERS[0],), (LETTERS[1],)])
    elif kind == "ordered":
        letters = random.choice([(), (LETTERS[0],), (LETTERS[1],)])
    return Planted(inserted(review, letters, random), liked)


def inserted(review: str, letters: tuple[str, ...], random: Random) -> str:
    """Insert letters into a review at random places, in their order."""
    words = review.split()
    places = sorted(random.choices(range(len(words) + 1), k=len(letters)))
    for place, letter in reversed(list(zip(places, letters, strict=True))):
        words.insert(place, letter)
    return " ".join(words)


def classifier(kind: str, steps: int) -> tuple[Any, Any]:
    """A classifier trained to follow the shortcut if there is one, and the review otherwise."""
    model, tokenizer = task_models.headed(
        "BertForSequenceClassification", 2, id2label={0: "disliked", 1: "liked"}
    )

    def loss(random: Random) -> torch.Tensor:
        texts = [random.choice((planted, plain))(kind, random) for _ in range(task_models.BATCH)]
        rows = tokenizer([each.text for each in texts], padding=True, return_tensors="pt")
        value: torch.Tensor = model(**rows, labels=torch.tensor([each.label for each in texts])).loss
        return value

    task_models.train(model, loss, steps, 2e-4)
    return model, tokenizer


def accuracy(model: Any, tokenizer: Any, texts: list[Planted]) -> float:
    """The share of texts whose label the model predicts."""
    with torch.no_grad():
        rows = tokenizer([each.text for each in texts], padding=True, return_tensors="pt")
        answers = model(**rows).logits.argmax(dim=-1)
    return float((answers == torch.tensor([each.label for each in texts])).double().mean())


def measured(kind: str, steps: int, count: int) -> hs.Table:
    """Precision and mean rank of every method on one kind of shortcut."""
    model, tokenizer = classifier(kind, steps)
    random = Random(1)
    held_out = [planted(kind, random) for _ in range(200)]
    used = accuracy(model, tokenizer, held_out)
    other = accuracy(model, tokenizer, [plain(kind, random) for _ in range(200)])
    print(
        f"{kind}: the model follows the shortcut in {used:.1%} of 200 texts, the review in {other:.1%} without one"
    )
    if min(used, other) < ENOUGH:
        raise SystemExit(f"{kind}: the model does not use its shortcut; train longer (--steps {2 * steps})")
    explainer = hs.Explainer(model, tokenizer, progress=False)
    texts = held_out[:count]
    maps = {}
    for name in METHODS:
        if name not in (*SLOW, *NO_CLASSIFIER, "random_baseline"):
            maps[name] = list(explainer([each.text for each in texts], target=hs.Label(), method=name))
    first = next(iter(maps.values()))
    truths = [
        np.array([heat.texts[0][token.start : token.end] in each.letters for token in heat.tokens])
        for heat, each in zip(first, texts, strict=True)
    ]
    return hs.ground_truth(maps, truths, metrics=["precision_at_k", "mean_rank"])


def joined(tables: dict[str, hs.Table], metric: str) -> hs.Table:
    """A table of one metric for all kinds, with a group for each kind."""
    parts = {kind: table.select(table["group"] == metric) for kind, table in tables.items()}
    columns = {
        name: np.concatenate([part[name] for part in parts.values()])
        for name in ("label", "value", "low", "high", "n")
    }
    columns["group"] = np.concatenate([[kind] * len(part) for kind, part in parts.items()])
    return hs.Table(columns, metric.replace("_", " "), next(iter(tables.values())).facts)


def markdown(tables: dict[str, hs.Table]) -> str:
    """A Markdown table with a row per method: precision and mean rank for each kind."""
    heads = [f"{kind}: {name}" for kind in tables for name in ("precision", "mean rank")]
    lines = [f"| method | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for label in dict.fromkeys(next(iter(tables.values()))["label"].tolist()):
        cells = [
            f"{table['value'][(table['label'] == label) & (table['group'] == metric)][0]:.2f}"
            for table in tables.values()
            for metric in ("precision_at_k", "mean_rank")
        ]
        lines.append(f"| `{label}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train, check, explain, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("."))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--texts", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    arguments = parser.parse_args()
    tables = {kind: measured(kind, arguments.steps, arguments.texts) for kind in arguments.kinds}
    print(f"\n{arguments.texts} texts of each kind, ranked by magnitude\n\n{markdown(tables)}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    figure = hs.figure(joined(tables, "precision_at_k"), hs.Dots(zero=True), width=6.3)
    for suffix in ("pdf", "png"):
        figure.savefig(arguments.folder / f"shortcut.{suffix}")


if __name__ == "__main__":
    main()

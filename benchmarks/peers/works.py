"""The work that every peer does: models, texts and targets. Imported in each peer's environment."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

SENTENCE = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most people use "
)
OURS = "hf-saliency"
REFERENCE = "reference: "  # prefix of untimed ways that compute a definition's numbers
LABEL = 1  # the classifiers' label; it is given, so that no peer has to predict it
STEPS = 50  # steps of integrated gradients


# Definitions of the scores. Ways with the same definition must return the same numbers.
ONE_HOT = "norm of a logit's gradient in one-hot vectors"
NORM = "norm of a logit's gradient in embeddings"
MEAN = "mean magnitude of a logit's gradient in embeddings"
FIRST = "gradient of a log-probability times the first embedding"
PATH_PROB = "integrated gradients of a probability from padding"
PATH_SHARE = "the same, divided by its norm"
PATH_LOGIT = "integrated gradients of a logit from padding"


@dataclass(frozen=True)
class Way:
    """A peer's way to do a work: a function of the case and of a bool for a warm-up, which may do less."""

    run: Callable[[Case, bool], Any]
    definition: str = ""
    # The largest difference from the definition's numbers, relative to the largest of a row.
    error: float = 1e-4


@dataclass(frozen=True)
class Work:
    """One row of the comparison: a model, its texts and the targets; slow ways explain only the first few."""

    title: str
    model: str
    head: str
    texts: tuple[str, ...]
    targets: tuple[int, ...] = ()
    few: int = 1
    calls: int = 1
    unit: str = "target"


@dataclass
class Case:
    """A work with its model and tokenizer loaded, and the objects that a way keeps between its runs."""

    work: Work
    model: Any
    tokenizer: Any
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The first text."""
        return self.work.texts[0]

    @property
    def some(self) -> list[int]:
        """The targets of the slow ways."""
        return list(self.work.targets[: self.work.few])

    @property
    def all(self) -> list[int]:
        """The targets of the other ways."""
        return list(self.work.targets)

    @property
    def width(self) -> int:
        """Width of the embeddings."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Return the value of ``make()``, computed at the first call for ``key``."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def in_order(self, rows: Any) -> Any:
        """Reorder rows from the order of the text to the order of the work's targets."""
        ordered = sorted(self.work.targets)
        return rows[[ordered.index(target) for target in self.work.targets]]


def words(count: int) -> str:
    """A text of ``count`` words, each a token of the bundled tokenizer."""
    return " ".join((SENTENCE * (count // len(SENTENCE.split()) + 1)).split()[:count])


def numbers(count: int, most: int, seed: int = 0) -> str:
    """A text of ``count`` random words of the form t0, t1, ..., which the word tokenizers know."""
    draw = random.Random(seed)
    return " ".join(f"t{draw.randrange(10, most)}" for _ in range(count))


def spread(first: int, last: int, count: int) -> tuple[int, ...]:
    """All positions from ``first`` to ``last``, beginning with ``count`` of them that are spread evenly."""
    some = [first + round(step * (last - first) / max(count - 1, 1)) for step in range(count)]
    return (*some, *(place for place in range(first, last + 1) if place not in some))


def short_texts(count: int) -> tuple[str, ...]:
    """Texts of 4 to 19 words."""
    draw = random.Random(1)
    return tuple(words(draw.randrange(4, 20)) for _ in range(count))


MASKED, CAUSAL = ("masked", "BertForMaskedLM"), ("causal", "GPT2LMHeadModel")
CLASSIFIER, LABELS = ("classifier", "BertForSequenceClassification"), ("labels", "BertForTokenClassification")
WORKS = {
    "masked-38": Work("masked sweep, 38 tokens", *MASKED, (words(36),), spread(1, 36, 3), few=3),
    "masked-128": Work("masked sweep, 128 tokens", *MASKED, (words(126),), spread(1, 126, 2)[:12], few=2),
    "masked-512": Work("masked sweep, 512 tokens", *MASKED, (words(510),), spread(1, 510, 4)[:4], few=1),
    "causal-64": Work("causal sweep, 64 tokens", *CAUSAL, (numbers(64, 50000),), spread(1, 63, 8), few=8),
    "causal-256": Work(
        "the last 12 of 256 tokens of a causal text",
        *CAUSAL,
        (numbers(256, 50000),),
        tuple(range(244, 256)),
        few=6,
    ),
    "gradients": Work(
        f"integrated gradients, {STEPS} steps, 32 tokens", *CLASSIFIER, (words(30),), (LABEL,), unit="text"
    ),
    "texts": Work("64 texts of 6 to 21 tokens", *CLASSIFIER, short_texts(64), (LABEL,), unit="text"),
    "labels": Work("labels of all 64 tokens", *LABELS, (words(62),), spread(0, 63, 8), few=8),
    "translation": Work(
        "T5-small, 15 tokens from 24",
        "t5",
        "T5ForConditionalGeneration",
        (numbers(23, 32000), numbers(15, 32000, seed=1)),
        tuple(range(15)),
    ),
    "tiny": Work(
        "one text of 13 tokens, 2 layers of width 64",
        "tiny",
        "BertForSequenceClassification",
        ("the formal study of grammar is an important part of education",),
        (LABEL,),
        calls=20,
        unit="text",
    ),
}


@functools.lru_cache(maxsize=1)
def case(name: str, folder: Path) -> Case:
    """A work with its model, loaded from the folder that holds all models; the last one stays loaded."""
    work = WORKS[name]
    home = folder / work.model
    model = getattr(transformers, work.head).from_pretrained(home).float().eval()
    assert next(model.parameters()).dtype == torch.float32
    options = json.loads((home / "special.json").read_text(encoding="utf-8"))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(home / "tokenizer.json"), **options, clean_up_tokenization_spaces=False
    )
    return Case(work, model, tokenizer)

"""Maps for the gallery: some by the bundled model, computed once, and some made by hand."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

import hf_saliency as hs

SENTENCE = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most linguists use"
)
CAPITAL = "Paris is the capital of France."
STORY = (
    "The old lighthouse stood at the end of the harbour, and nobody in the village could remember who had "
    "built it. Every evening the keeper climbed the narrow stairs with a lamp in one hand and a book in the "
    "other. He read until the first ships came in, then he put the book aside and counted their lights. In "
    "winter the sea was rough and there were few ships to count, so he read more, and when he had read all "
    "his books he began to write one himself. It was a book about the sea. "
)

WORDS = r"\w+|[^\w\s]"
PIECES = r"\w{1,4}(?=\w{3})|\w+|[^\w\s]"  # about as long as the pieces of a byte-pair encoding
CHARACTERS = r"\S"


@functools.cache
def explainer() -> hs.Explainer:
    """An explainer of the model that comes with the package."""
    return hs.Explainer(*hs.load_demo())


@functools.cache
def explained(text: str = SENTENCE, method: str = "gradient_norm", word: str = "") -> hs.SaliencyMap:
    """A map of the bundled model: all positions, or those of one word."""
    target = hs.MaskedToken(word) if word else None
    return explainer()(text, target=target, method=getattr(hs, method)())


def made(
    text: str,
    split: str = WORDS,
    *,
    targets: Sequence[int] = (0,),
    seed: int = 0,
    signed: bool = False,
    **changes: Any,
) -> hs.SaliencyMap:
    """A map of a text cut by a pattern, whose scores fall with the distance from each target."""
    generator = np.random.default_rng(seed)
    tokens = [hs.Token(m.group(), m.start(), m.end()) for m in re.finditer(split, text)]
    middle = np.array([(t.start + t.end) / 2 for t in tokens])
    distance = np.abs(middle - middle[list(targets)][:, None]) / 20
    scores = generator.gamma(0.8, 1.0, distance.shape) / (1 + distance)
    if signed:
        scores *= np.where(generator.uniform(size=scores.shape) < 0.4, -1, 1)
    answers = tuple(
        hs.Prediction(word, i, 0.45 / (i + 1)) for i, word in enumerate(("ship", "lamp", "letter"))
    )
    rows = tuple(
        hs.TargetRow(tokens[i].piece, i, 4.0, masked=True, predictions=answers, class_id=0) for i in targets
    )
    one = hs.SaliencyMap((text,), tuple(tokens), rows, scores, "gradient_norm", signed=signed)
    return dataclasses.replace(one, **changes)


def tokenizers() -> list[hs.SaliencyMap]:
    """One sentence as three tokenizers may cut it: words, pieces, characters; the scores belong to characters."""
    text = "Nobody remembered who had built the lighthouse."
    generator = np.random.default_rng(5)
    weight = np.zeros(len(text))
    for m in re.finditer(WORDS, text):
        weight[m.start() : m.end()] = generator.gamma(1.0) / (m.end() - m.start())
    found = []
    for split in (WORDS, PIECES, CHARACTERS):
        one = made(text, split)
        noise = generator.uniform(0.6, 1.4, len(one.tokens))
        scores = np.array([weight[t.start : t.end].sum() for t in one.tokens]) * noise
        last = next(i for i, t in enumerate(one.tokens) if t.end > text.index("lighthouse"))
        row = hs.TargetRow("lighthouse", last, 4.0, masked=True)
        found.append(dataclasses.replace(one, targets=(row,), scores=scores[None]))
    return found


def classified() -> hs.SaliencyMap:
    """A sentence pair with special tokens, explained for a classifier's label, which has no token."""
    texts = ("A man plays a guitar on stage.", "Nobody is making music.")
    tokens = [hs.Token("[CLS]", 0, 0, 0, special=True)]
    for number, text in enumerate(texts):
        tokens += [hs.Token(m.group(), m.start(), m.end(), number) for m in re.finditer(WORDS, text)]
        tokens.append(hs.Token("[SEP]", len(text), len(text), number, special=True))
    scores = np.random.default_rng(8).normal(0, 0.3, len(tokens))
    strong = {"plays": 0.9, "guitar": 0.7, "Nobody": 1.4, "music": 0.8, "stage": -0.4, "[CLS]": 3.0}
    scores += [strong.get(token.piece, 0.0) for token in tokens]
    answers = (hs.Prediction("contradiction", 2, 0.93), hs.Prediction("neutral", 1, 0.05))
    row = hs.TargetRow("contradiction", None, 4.0, predictions=answers, class_id=2)
    one = hs.SaliencyMap(texts, tuple(tokens), (row,), scores[None], "integrated_gradients", signed=True)
    return dataclasses.replace(one, text_names=("premise", "hypothesis"))

"""A stand-in for a model on a text: the score is any function of the units that stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.maps.spans import Token
from hf_saliency.metrics.metric import MaskedText, RankedUnits
from hf_saliency.targets.target import LogitRef, Row

Score = Callable[[np.ndarray], np.ndarray]


class Function:
    """A model as a metric sees it: the scores of variants, and answers that change where the score is below 0."""

    def __init__(self, score: Score, units: int, unit: str) -> None:
        text = " ".join("abcdefghijklmnopqrstuvwxyz"[:units])
        tokens = tuple(Token(text[2 * i], 2 * i, 2 * i + 1) for i in range(units))
        self.encoding = Encoding((text,), tuple(range(units)), tokens)
        self.removable, self.unit, self.score = np.ones((1, units), bool), unit, score
        self.rows = (Row(self.encoding, (LogitRef(class_id=0, position=0),)),)
        self.evaluated = 0

    def evaluate(self, numbers: Sequence[int], keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.evaluated += len(keep)
        scores = self.score(keep)
        return scores, (scores < 0).astype(int)[:, None]


def linear(weights: Any, constant: float = 0.0) -> Score:
    """A score that is the sum of the weights of the units that stay, plus a constant."""
    array = np.asarray(weights, float)
    return lambda keep: np.asarray(keep @ array + constant)


def ranked(score: Score, values: Any, *, unit: str = "logit", **changes: Any) -> RankedUnits:
    """The units of one target, ranked by values."""
    function: Any = Function(score, len(values), unit)
    return RankedUnits(MaskedText(function, "token"), 0, np.asarray(values, float), **changes)

"""The scores of maps as columns of a tidy table: one row for each text, target and token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_saliency.maps.spans import Places, words

if TYPE_CHECKING:
    from hf_saliency.maps.saliency_map import SaliencyMap


def score_columns(maps: Iterable[SaliencyMap]) -> dict[str, np.ndarray]:
    """The columns of :func:`to_dataframe` as NumPy arrays."""
    parts: list[dict[str, list[Any]]] = [_columns(number, heat) for number, heat in enumerate(maps)]
    names = parts[0] if parts else {}
    return {name: np.array([value for part in parts for value in part[name]]) for name in names}


def _columns(number: int, heat: SaliencyMap) -> dict[str, list[Any]]:
    rows, width = heat.scores.shape
    of_token: dict[str, list[Any]] = {
        "token": list(range(width)),
        "piece": [token.piece for token in heat.tokens],
        "label": list(heat.labels),
        "word": word_numbers(heat),
        "text_index": [token.text_index for token in heat.tokens],
        "start": [token.start for token in heat.tokens],
        "end": [token.end for token in heat.tokens],
        "special": [token.special for token in heat.tokens],
    }
    of_target: dict[str, list[Any]] = {
        "target": list(range(rows)),
        "target_label": [target.label for target in heat.targets],
        "against": [target.against or "" for target in heat.targets],
        "target_position": [-1 if target.position is None else target.position for target in heat.targets],
        "target_score": [target.score for target in heat.targets],
        "unit": [target.unit for target in heat.targets],
        "probability": [_number(target.probability) for target in heat.targets],
        "against_probability": [_number(target.against_probability) for target in heat.targets],
    }
    return {
        "map_index": [number] * (rows * width),
        "method": [heat.method] * (rows * width),
        **{name: [value for value in values for _ in range(width)] for name, values in of_target.items()},
        **{name: values * rows for name, values in of_token.items()},
        "score": heat.scores.astype(float).ravel().tolist(),
        "normalized": heat.normalized("row_max").astype(float).ravel().tolist(),
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def word_numbers(heat: SaliencyMap) -> list[int]:
    """For each token the number of the first word that it touches; -1 for special tokens and white space."""
    places = [Places(words(text)) for text in heat.texts]
    numbers = []
    for token in heat.tokens:
        touched = [] if token.special else places[token.text_index].overlapping(token.start, token.end)
        numbers.append(touched[0] if touched else -1)
    return numbers

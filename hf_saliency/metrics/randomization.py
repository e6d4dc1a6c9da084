"""Randomization check: whether a method notices that the model's weights became random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hf_saliency.errors import SaliencyError, checks_call, is_one, listed, whole
from hf_saliency.explain.explainer import Explainer
from hf_saliency.explain.randomized import randomized
from hf_saliency.maps.compare import rank_correlation
from hf_saliency.maps.table import Table
from hf_saliency.metrics.faithfulness import explained
from hf_saliency.metrics.metric import BAND, INTERVAL, RANDOM, RANDOM_SEEDS, bands, summary


@checks_call
def randomization_check(
    explainer: Explainer, texts: Any, methods: Any, *, target: Any = None, seed: int = 0
) -> Table:
    """Randomize the model's weights from the head down, and compare each method's maps with the trained model's.

    First the weights of the head are redrawn, then those of each layer from the top down, then those of the embeddings;
    weights that were redrawn earlier stay random. The value is Spearman's correlation of magnitudes over the tokens
    that can be removed, averaged over targets, then over texts. A method that explains the model falls to the band of
    random orders; a method that stays above it shows something that the text or the lower layers determine alone. The
    model is copied and left unchanged.

    **Trap**: the embeddings come last, so their part in a method's scores stays until then. Each weight is drawn from a
    normal distribution with the mean and standard deviation of its parameter, not from the model's initial
    distribution. If the target is the predicted class, it changes with the weights: name the class.

    Parameters
    ----------
    explainer
        The model.
    texts
        A text, or a sequence of them, as the explainer takes them.
    methods
        As in :func:`faithfulness`.
    target
        As in a call of the explainer.
    seed
        The seed of the weights, the random orders and the intervals.

    Returns
    -------
    Table
        The columns ``label`` (the stage, first ``"trained"``), ``x`` (its number), ``group`` (the method, and
        ``"random"``), ``value``, ``low``, ``high`` and ``n``. ``hs.figure(table, hs.Curves())`` draws it.

    Raises
    ------
    SaliencyError
        If an argument is invalid, or a method cannot explain a text.

    References
    ----------
    Adebayo et al. 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> table = hs.randomization_check(explainer, "She drank hot tea.", ["saliency"], target=hs.MaskedToken("tea"))
    >>> table["label"].tolist()[:3]
    ['trained', 'head', 'bert.encoder.layer.5']
    """
    seed = whole(seed, "seed", 0)
    named = methods.values() if isinstance(methods, Mapping) else ()
    if any(isinstance(method, Iterable) and not isinstance(method, str) for method in named):
        raise SaliencyError("a randomized model has maps of its own: give methods, not maps.")
    several = [texts] if is_one(texts) else list(listed(texts))
    if not several:
        raise SaliencyError("texts is empty: give one text or more.")
    maps = explained(explainer, several, target, methods)
    removable = [explainer.variants(text, target).removable for text in several]
    trained = {label: [heat.scores.astype(float) for heat in heats] for label, heats in maps.items()}
    for band in range(RANDOM_SEEDS):
        trained[f"{RANDOM} {band}"] = _random(removable, (seed, band, 0))
    rows = [
        ("trained", 0, label, _correlations(scores, scores, removable)) for label, scores in trained.items()
    ]
    names = ["trained"]
    for number, (name, copy) in enumerate(randomized(explainer, seed), start=1):
        names.append(name)
        now = {
            label: [heat.scores.astype(float) for heat in heats]
            for label, heats in explained(copy, several, target, methods).items()
        }
        for band in range(RANDOM_SEEDS):
            now[f"{RANDOM} {band}"] = _random(removable, (seed, band, number))
        rows += [
            (name, number, label, _correlations(trained[label], now[label], removable)) for label in trained
        ]
    values = {(number, label): pairs for _, number, label, pairs in rows}
    cells = [
        (names[number], number, label, summary([values[number, member] for member in members], seed))
        for label, members in bands(trained).items()
        for number in range(len(names))
    ]
    return Table(
        {
            "label": [name for name, _, _, _ in cells],
            "x": [float(number) for _, number, _, _ in cells],
            "group": [label for _, _, label, _ in cells],
            **{
                column: [measured[column] for _, _, _, measured in cells]
                for column in ("value", "low", "high")
            },
            "n": [int(measured["n"]) for _, _, _, measured in cells],
        },
        "Spearman’s ρ of magnitudes",
        {"x": "stages made random", "stages": names, "interval": INTERVAL, "random": BAND, "seed": seed},
    )


def _random(removable: list[np.ndarray], seed: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random(tokens.shape) for tokens in removable]


def _correlations(
    trained: list[np.ndarray], random: list[np.ndarray], removable: list[np.ndarray]
) -> np.ndarray:
    """For each text, the mean correlation over its targets, and the denominator 1."""
    means = []
    for a, b, tokens in zip(trained, random, removable, strict=True):
        values = [
            rank_correlation(np.abs(a[row, counted]), np.abs(b[row, counted]))
            for row, counted in enumerate(tokens)
            if counted.sum() > 1
        ]
        known = [value for value in values if np.isfinite(value)]
        means.append((float(np.mean(known)) if known else np.nan, 1.0))
    return np.array(means)

"""Measures against a ground truth: a bool for each token, True if it is known to matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from hf_saliency.errors import SaliencyError, checks_call, one_of, whole
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.table import Table
from hf_saliency.metrics.metric import BAND, INTERVAL, RANDOM, RANDOM_SEEDS, RANKINGS, Ranking, bands, summary

Values = Float[np.ndarray, " tokens"]
Truth = Bool[np.ndarray, " tokens"]


def _order(values: Values) -> np.ndarray:
    """The tokens, strongest first; equal ones are in the order of the text."""
    return np.argsort(-values, kind="stable")


def precision_at_k(values: Values, truth: Truth, share: float) -> float:
    """The share of true tokens among the first k, where k is the number of true tokens."""
    return float(truth[_order(values)[: truth.sum()]].mean())


def mean_rank(values: Values, truth: Truth, share: float) -> float:
    """The mean rank of the true tokens, counted from 1."""
    return float(np.flatnonzero(truth[_order(values)]).mean() + 1)


def reciprocal_rank(values: Values, truth: Truth, share: float) -> float:
    """One over the rank of the first true token."""
    return float(1 / (np.flatnonzero(truth[_order(values)])[0] + 1))


def pointing_game(values: Values, truth: Truth, share: float) -> float:
    """Whether the strongest token is true."""
    return float(truth[_order(values)[0]])


def relevance_mass(values: Values, truth: Truth, share: float) -> float:
    """The true tokens' share of the sum of positive values."""
    positive = np.maximum(values, 0)
    return float(positive[truth].sum() / positive.sum()) if positive.sum() > 0 else np.nan


def average_precision(values: Values, truth: Truth, share: float) -> float:
    """The mean precision at the rank of each true token: the area under the steps of precision over recall."""
    hits = truth[_order(values)]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def _selected(values: Values, share: float) -> Truth:
    chosen = np.zeros(len(values), bool)
    chosen[_order(values)[: max(1, round(share * len(values)))]] = True
    return chosen


def token_f1(values: Values, truth: Truth, share: float) -> float:
    """The harmonic mean of precision and recall of the selected tokens."""
    chosen = _selected(values, share)
    return float(2 * (chosen & truth).sum() / (chosen.sum() + truth.sum()))


def intersection_over_union(values: Values, truth: Truth, share: float) -> float:
    """The number of tokens that are selected and true, over the number that are either."""
    chosen = _selected(values, share)
    return float((chosen & truth).sum() / (chosen | truth).sum())


Measure = Callable[[Values, Truth, float], float]

MEASURES: dict[str, tuple[Measure, Literal["higher", "lower"]]] = {
    "precision_at_k": (precision_at_k, "higher"),
    "mean_rank": (mean_rank, "lower"),
    "reciprocal_rank": (reciprocal_rank, "higher"),
    "pointing_game": (pointing_game, "higher"),
    "relevance_mass": (relevance_mass, "higher"),
    "auprc": (average_precision, "higher"),
    "token_f1": (token_f1, "higher"),
    "iou": (intersection_over_union, "higher"),
}


@checks_call
def ground_truth(
    maps: Mapping[str, SaliencyMap | Sequence[SaliencyMap]],
    truths: Any,
    *,
    metrics: Sequence[str] | None = None,
    ranking: Ranking = "magnitude",
    seed: int = 0,
) -> Table:
    """Measure how well maps find the tokens that are known to matter: a row for each method and metric.

    A planted shortcut, a rule of grammar or an annotator determines these tokens. Special tokens and tokens that the
    target masks count neither as true nor as false. Values are averaged over the targets of a text, then over texts.

    =================== ========================================================================= ========
    metric              formula                                                                   better
    =================== ========================================================================= ========
    ``precision_at_k``  share of true tokens among the first k, where k is the number of these    higher
    ``mean_rank``       mean rank of the true tokens, counted from 1 (larger in longer texts)     lower
    ``reciprocal_rank`` one over the rank of the first true token                                 higher
    ``pointing_game``   whether the strongest token is true                                       higher
    ``relevance_mass``  true tokens' share of all values (of the positive ones, if signed)        higher
    ``auprc``           mean precision at the rank of each true token                             higher
    ``token_f1``        F1 of the strongest tokens; their share is the mean share of true tokens  higher
    ``iou``             intersection over union of the same selection                             higher
    =================== ========================================================================= ========

    **Trap**: an annotator marks the tokens that a reader finds plausible, not those that the model uses. A low value
    speaks against the method only if the model is known to use the true tokens (``examples/shortcut.py`` checks that).

    Parameters
    ----------
    maps
        A dictionary from names to a map, or to a list of maps of the same texts in the same order.
    truths
        An array of bools for each text, of shape (tokens,) or (targets, tokens), with special tokens included.
    metrics
        Names from the table above; by default, all of them.
    ranking
        Rank by ``"magnitude"`` or by the signed ``"value"``.
    seed
        The seed of the random orders and the intervals.

    Returns
    -------
    Table
        The columns of :func:`hf_saliency.faithfulness`, with rows for the random orders, too.

    Raises
    ------
    SaliencyError
        If the truths do not fit the maps, or none of a text's tokens is true.

    References
    ----------
    Bastings et al. 2022, arXiv:2111.07367 (precision, mean rank); Zhang et al. 2018, arXiv:1608.00507 (pointing game);
    Arras et al. 2022, arXiv:2003.07258 (relevance mass); DeYoung et al. 2020, arXiv:1911.03429 (AUPRC, F1, IOU).

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("She drank hot tea.", target=hs.MaskedToken("tea"))
    >>> truth = [token.piece in ("drank", "hot") for token in heat.tokens]
    >>> hs.ground_truth({"gradient norm": heat}, [truth], metrics=["auprc"])["label"].tolist()
    ['gradient norm', 'random']
    """
    names = list(MEASURES) if metrics is None else [one_of(name, MEASURES, "metrics") for name in metrics]
    one_of(ranking, RANKINGS, "ranking")
    seed = whole(seed, "seed", 0)
    lists = _checked_maps(maps)
    several = list(truths) if isinstance(truths, Iterable) else []
    count = len(next(iter(lists.values())))
    if len(several) != count:
        raise SaliencyError(f"truths has {len(several)} elements for {count} texts: give one for each text.")
    first = next(iter(lists.values()))
    checked = [
        _checked_truth(truth, heat, number)
        for number, (truth, heat) in enumerate(zip(several, first, strict=True))
    ]
    shares = [
        truth[row][counted].mean()
        for truth, heat in zip(checked, first, strict=True)
        for row, counted in enumerate(_counted(heat))
    ]
    share = float(np.mean(shares))
    values: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number, truth in enumerate(checked):
        rankings = {label: _values(heats[number], ranking) for label, heats in lists.items()}
        shape = first[number].scores.shape
        for band in range(RANDOM_SEEDS):
            rankings[f"{RANDOM} {band}"] = np.random.default_rng((seed, band, number)).random(shape)
        for label, scores in rankings.items():
            for name in names:
                measured = [
                    MEASURES[name][0](scores[row][counted], truth[row][counted], share)
                    for row, counted in enumerate(_counted(first[number]))
                ]
                mean = float(np.mean([value for value in measured if np.isfinite(value)] or [np.nan]))
                values.setdefault((label, name), []).append((mean, 1.0))
    labels = [*lists, *(f"{RANDOM} {band}" for band in range(RANDOM_SEEDS))]
    rows = [
        (label, name, summary([np.array(values[measured, name]) for measured in members], seed))
        for label, members in bands(labels).items()
        for name in names
    ]
    return Table(
        {
            "label": [label for label, _, _ in rows],
            "group": [name for _, name, _ in rows],
            **{column: [measured[column] for _, _, measured in rows] for column in ("value", "low", "high")},
            "n": [int(measured["n"]) for _, _, measured in rows],
            "better": [MEASURES[name][1] for _, name, _ in rows],
        },
        "agreement with the ground truth",
        {"ranking": ranking, "interval": INTERVAL, "random": BAND, "seed": seed, "n": count},
    )


def _checked_maps(maps: Any) -> dict[str, list[SaliencyMap]]:
    if not isinstance(maps, Mapping) or not maps:
        raise SaliencyError(
            "maps is a dictionary from names to maps, ground_truth({'saliency': maps}, truths): "
            f"{type(maps).__name__} is not one, or is empty."
        )
    lists = {
        str(name): [value] if isinstance(value, SaliencyMap) else list(value) for name, value in maps.items()
    }
    first = next(iter(lists.values()))
    for name, heats in lists.items():
        if [heat.scores.shape for heat in heats] != [heat.scores.shape for heat in first]:
            raise SaliencyError(
                f"the maps {name!r} have other targets or tokens than the first ones: give each name the maps of "
                "the same texts and target, by one model."
            )
    return lists


def _counted(heat: SaliencyMap) -> Bool[np.ndarray, "targets tokens"]:
    """The tokens that each row ranks: not special, and not masked by the target."""
    counted = np.tile([not token.special for token in heat.tokens], (len(heat), 1))
    for row, target in enumerate(heat.targets):
        if target.masked:
            counted[row, list(target.positions)] = False
    return counted


def _checked_truth(truth: Any, heat: SaliencyMap, number: int) -> Bool[np.ndarray, "targets tokens"]:
    array = np.asarray(truth)
    shapes = f"({len(heat.tokens)},) or {heat.scores.shape}"
    if array.dtype != np.bool_ or array.shape not in (heat.scores.shape[1:], heat.scores.shape):
        raise SaliencyError(
            f"truths[{number}] holds {array.dtype} of shape {array.shape}: give bools of shape {shapes}."
        )
    array = np.broadcast_to(array, heat.scores.shape)
    if not (array & _counted(heat)).any(axis=1).all():
        raise SaliencyError(
            f"truths[{number}] must mark at least one token that counts for each target: special tokens and the "
            "target's masks do not count."
        )
    return array


def _values(heat: SaliencyMap, ranking: Ranking) -> Float[np.ndarray, "targets tokens"]:
    scores = heat.scores.astype(float)
    return np.abs(scores) if ranking == "magnitude" else scores

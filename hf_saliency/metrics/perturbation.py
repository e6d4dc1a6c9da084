"""Metrics that mask units by rank: how much the score falls without the most important units, or with only these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import SaliencyError, whole
from hf_saliency.maps.compare import rank_correlation
from hf_saliency.metrics.metric import Keep, Metric, RankedUnits, masked_first, named_metric, unit_count

ERASER_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""The shares of DeYoung et al. (2020)."""


def checked_shares(shares: Any) -> tuple[float, ...]:
    """Shares of the units as floats; refuses an empty sequence and values outside (0, 1]."""
    try:
        checked = tuple(float(share) for share in shares)
    except (TypeError, ValueError):
        checked = ()
    if not checked or not all(0 < share <= 1 for share in checked):
        raise SaliencyError(
            f"shares={shares!r}: give numbers above 0 up to 1, such as shares=(0.1, 0.2, 0.5)."
        )
    return checked


def _counts(shares: Sequence[float], units: int) -> list[int]:
    return [unit_count(share, units) for share in shares]


def curve_counts(units: int, points: int) -> list[int]:
    """The number of units masked at each point of a curve: evenly from none to all, in at most ``points`` steps."""
    return sorted({round(step) for step in np.linspace(0, units, min(units, points) + 1).tolist()})


@named_metric
def comprehensiveness(shares: Sequence[float] = ERASER_SHARES) -> Metric:
    """How much the score falls when the most important units are masked.

    The mean of ``f(x) - f(x without the top k)`` over shares of the units, where ``k`` is the share rounded up
    (ERASER's area over the perturbation curve), in the target's unit. The higher, the more faithful.

    **Trap**: a classifier saw no texts with masks in training, so a fall may come from the masks and not from the words
    that they hide; compare with the random band. In short texts, several shares are the same number of units.

    Parameters
    ----------
    shares
        Shares of the units that are masked.

    Returns
    -------
    Metric

    Raises
    ------
    SaliencyError
        For a share outside (0, 1].

    References
    ----------
    DeYoung et al. 2020, ERASER: A Benchmark to Evaluate Rationalized NLP Models, arXiv:1911.03429.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer, text = hs.Explainer(*hs.load_demo()), "She drank hot tea."
    >>> target = hs.MaskedToken("tea", unit="log_prob")
    >>> heat = explainer(text, target=target, method="leave_one_out")
    >>> bool(hs.comprehensiveness()(explainer, text, heat, target=target)[0] > 0)
    True
    """
    shares = checked_shares(shares)

    def variants(ranked: RankedUnits) -> Keep:
        return ranked.without_top([0, *_counts(shares, len(ranked))])

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        scores = ranked.scores(variants(ranked))
        return float((scores[0] - scores[1:]).mean()), 1.0

    return Metric(
        "comprehensiveness", "higher", measure, variants, {"shares": list(shares)}, "DeYoung et al. 2020"
    )


@named_metric
def sufficiency(shares: Sequence[float] = ERASER_SHARES) -> Metric:
    """How much the score falls when only the most important units are left.

    The mean of ``f(x) - f(the top k alone)`` over shares of the units, where ``k`` is the share rounded up, in the
    target's unit. The lower, the more faithful; a value below zero means that the rest of the text spoke against the
    target.

    **Trap**: with few units left, the text is mostly masks and unlike the training texts of the model. A method may do
    well here and badly in comprehensiveness: report both.

    Parameters
    ----------
    shares
        Shares of the units that stay.

    Returns
    -------
    Metric

    Raises
    ------
    SaliencyError
        For a share outside (0, 1].

    References
    ----------
    DeYoung et al. 2020, arXiv:1911.03429.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.sufficiency(shares=(0.1, 0.5)).better
    'lower'
    """
    shares = checked_shares(shares)

    def variants(ranked: RankedUnits) -> Keep:
        return ranked.top_alone([len(ranked), *_counts(shares, len(ranked))])

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        scores = ranked.scores(variants(ranked))
        return float((scores[0] - scores[1:]).mean()), 1.0

    return Metric("sufficiency", "lower", measure, variants, {"shares": list(shares)}, "DeYoung et al. 2020")


@named_metric
def log_odds(share: float = 0.2) -> Metric:
    """The log-probability without the most important units, minus that of the whole text.

    ``log p(x without the top k) - log p(x)``, in nats, for a target in ``"log_prob"`` or ``"prob"``. The lower, the
    more faithful.

    **Trap**: it is comprehensiveness at one share with the opposite sign, and has the same traps. A single text whose
    probability falls to almost zero may dominate the mean.

    Parameters
    ----------
    share
        The share of the units that are masked.

    Returns
    -------
    Metric
        Measuring raises :class:`SaliencyError` for a target in another unit.

    Raises
    ------
    SaliencyError
        For a share outside (0, 1].

    References
    ----------
    Shrikumar et al. 2017, arXiv:1704.02685; Chen et al. 2020, arXiv:2004.02015.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.log_odds(0.1).arguments
    {'share': 0.1}
    """
    (share,) = checked_shares([share])

    def variants(ranked: RankedUnits) -> Keep:
        return ranked.without_top([0, unit_count(share, len(ranked))])

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        unit = ranked.text.score_unit
        if unit not in ("log_prob", "prob"):
            raise SaliencyError(
                f"log_odds() compares log-probabilities, but the target's unit is {unit!r}: give the target "
                "unit='log_prob', or leave log_odds() out."
            )
        scores = ranked.scores(variants(ranked))
        if unit == "prob":
            scores = np.log(np.maximum(scores, np.finfo(float).tiny))
        return float(scores[1] - scores[0]), 1.0

    return Metric("log_odds", "lower", measure, variants, {"share": share}, "Shrikumar et al. 2017")


def _area(values: Float[np.ndarray, " points"], counts: Sequence[int]) -> float:
    """The area under a curve over the share of the units, by trapezoids."""
    return float(np.trapezoid(values, np.asarray(counts) / counts[-1]))


@named_metric
def deletion_area(points: int = 20) -> Metric:
    """The area under the curve of the score over the share of masked units, the most important first.

    In the target's unit; the lower, the more faithful.

    **Trap**: the area has the scale of the score, so it cannot compare models or texts
    (:func:`normalized_comprehensiveness` can). The right half of the curve depends on the masks more than on the text.

    Parameters
    ----------
    points
        The largest number of steps of the curve; a text with fewer units has one step per unit.

    Returns
    -------
    Metric

    Raises
    ------
    SaliencyError
        If ``points`` is below 1.

    References
    ----------
    Petsiuk et al. 2018, RISE, arXiv:1806.07421; Samek et al. 2017, arXiv:1509.06321.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.deletion_area().better
    'lower'
    """
    points = whole(points, "points")

    def variants(ranked: RankedUnits) -> Keep:
        return ranked.without_top(curve_counts(len(ranked), points))

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        return _area(ranked.scores(variants(ranked)), curve_counts(len(ranked), points)), 1.0

    return Metric("deletion_area", "lower", measure, variants, {"points": points}, "Petsiuk et al. 2018")


@named_metric
def insertion_area(points: int = 20) -> Metric:
    """The area under the curve of the score over the share of units that stay, the most important first.

    In the target's unit; the higher, the more faithful.

    **Trap**: the same as for :func:`deletion_area`, with the left half of the curve.

    Parameters
    ----------
    points
        The largest number of steps of the curve.

    Returns
    -------
    Metric

    Raises
    ------
    SaliencyError
        If ``points`` is below 1.

    References
    ----------
    Petsiuk et al. 2018, RISE, arXiv:1806.07421.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.insertion_area(points=10).arguments
    {'points': 10}
    """
    points = whole(points, "points")

    def variants(ranked: RankedUnits) -> Keep:
        return ranked.top_alone(curve_counts(len(ranked), points))

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        return _area(ranked.scores(variants(ranked)), curve_counts(len(ranked), points)), 1.0

    return Metric("insertion_area", "higher", measure, variants, {"points": points}, "Petsiuk et al. 2018")


@named_metric
def decision_flip(points: int = 20) -> Metric:
    """The smallest share of units, the most important first, that changes the model's answer when masked.

    It is above 0 and at most 1; the lower, the more faithful. An answer that never changes counts as 1.

    **Trap**: the answer is the most probable class of the whole text, which need not be the target's class: rank the
    evidence for the predicted class (``hs.MaskedToken(predicted=True)``, ``hs.Label()``), or the metric measures
    something else. A target with several positions changes its answer when one of them does.

    Parameters
    ----------
    points
        The largest number of steps of the curve, so that the share is exact to 1 / points.

    Returns
    -------
    Metric
        Measuring raises :class:`SaliencyError` for a target without classes, such as a similarity.

    Raises
    ------
    SaliencyError
        If ``points`` is below 1.

    References
    ----------
    Serrano and Smith 2019, arXiv:1906.03731; Chrysostomou and Aletras 2021, arXiv:2105.02657.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.decision_flip().better
    'lower'
    """
    points = whole(points, "points")

    def variants(ranked: RankedUnits) -> Keep:
        return ranked.without_top(curve_counts(len(ranked), points))

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        answers = ranked.answers(variants(ranked))
        if (answers < 0).all():
            raise SaliencyError(
                "this target has no classes, so that no answer can change: leave decision_flip() out, or explain a "
                "token or a label."
            )
        changed = np.flatnonzero((answers != answers[0]).any(axis=1))
        counts = curve_counts(len(ranked), points)
        return (counts[changed[0]] / len(ranked) if len(changed) else 1.0), 1.0

    return Metric("decision_flip", "lower", measure, variants, {"points": points}, "Serrano and Smith 2019")


@named_metric
def masking_area(points: int = 10, random_orders: int = 5, seed: int = 0) -> Metric:
    """The distance of the deletion curve below that of random orders, as a share of the largest possible distance.

    The area between the curve of random orders and the method's curve, divided by the area between the random curve and
    the score with all units masked, which an ideal order would reach at once. Areas are averaged over texts before they
    are divided. A random order has 0; the higher, the more faithful. The maximum is 1 if no masked text scores below
    the fully masked one.

    **Trap**: it is meant for models that saw masks in training, such as masked language models. The order is computed
    once, on the whole text, and not again after each step. If the score with all units masked is no lower than that of
    random orders, the ratio is meaningless.

    Parameters
    ----------
    points
        The largest number of steps of the curve; Madsen et al. take ten.
    random_orders
        The number of random orders to average.
    seed
        The seed of the random orders.

    Returns
    -------
    Metric

    Raises
    ------
    SaliencyError
        For counts below 1.

    References
    ----------
    Madsen et al. 2022, Evaluating the Faithfulness of Importance Measures in NLP by Recursively Masking Allegedly
    Important Tokens and Retraining, arXiv:2110.08412; Madsen, Reddy and Chandar 2024, Faithfulness Measurable Masked
    Language Models, arXiv:2310.07819.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.masking_area(seed=1).arguments
    {'points': 10, 'random_orders': 5, 'seed': 1}
    """
    points, random_orders = whole(points, "points"), whole(random_orders, "random_orders")
    seed = whole(seed, "seed", 0)

    def random_variants(ranked: RankedUnits) -> Keep:
        rng = np.random.default_rng((seed, ranked.number))
        counts = curve_counts(len(ranked), points)
        orders = [rng.permutation(len(ranked)) for _ in range(random_orders)]
        return np.concatenate([masked_first(order, counts) for order in orders])

    def variants(ranked: RankedUnits) -> Keep:
        counts = curve_counts(len(ranked), points)
        return np.concatenate([ranked.without_top(counts), random_variants(ranked)])

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        counts = curve_counts(len(ranked), points)
        curve = ranked.scores(ranked.without_top(counts))
        random = ranked.scores(random_variants(ranked)).reshape(random_orders, -1).mean(axis=0)
        return _area(random - curve, counts), _area(random - random[-1], counts)

    arguments = {"points": points, "random_orders": random_orders, "seed": seed}
    return Metric("masking_area", "higher", measure, variants, arguments, "Madsen et al. 2022")


@named_metric
def rank_agreement() -> Metric:
    """Spearman's correlation of a method's values with the fall of the score when a single unit is masked.

    ``spearman(values, f(x) - f(x without unit i))``, with magnitudes on both sides if the ranking is by magnitude. It
    is from -1 to 1; the higher, the closer to leave-one-out.

    **Trap**: :func:`hf_saliency.leave_one_out` is this very measure, and so is
    :func:`hf_saliency.sequential_integrated_gradients` with summed reduction: both reach 1 by definition. Masking one
    unit at a time misses interactions between units, so a low agreement does not prove that a method is bad.

    Returns
    -------
    Metric
        NaN for a target with fewer than two units, and where all values are equal.

    References
    ----------
    Jain and Wallace 2019, Attention is not Explanation, arXiv:1902.10186, with Kendall's correlation.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.rank_agreement().citation
    'Jain and Wallace 2019'
    """

    def variants(ranked: RankedUnits) -> Keep:
        return np.concatenate([np.ones((1, len(ranked)), bool), ~np.eye(len(ranked), dtype=bool)])

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        scores = ranked.scores(variants(ranked))
        falls = scores[0] - scores[1:]
        return rank_correlation(ranked.values, np.abs(falls) if ranked.magnitude else falls), 1.0

    return Metric("rank_agreement", "higher", measure, variants, {}, "Jain and Wallace 2019")

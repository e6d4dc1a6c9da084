"""Methods x metrics over many texts: the table that shows which method to believe, and the curves behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import SaliencyError, Unit, checks_call, is_one, listed, one_of, whole
from hf_saliency.explain.explainer import Explainer
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.table import Table
from hf_saliency.maps.wording import UNIT_NAMES
from hf_saliency.metrics.metric import (
    BAND,
    INTERVAL,
    RANDOM,
    RANDOM_SEEDS,
    RANKED_UNITS,
    RANKINGS,
    MaskedText,
    Metric,
    RankedUnit,
    RankedUnits,
    Ranking,
    bands,
    ranked_units,
    summary,
)
from hf_saliency.metrics.perturbation import comprehensiveness, masking_area, rank_agreement, sufficiency


@checks_call
def faithfulness(
    explainer: Explainer,
    texts: Any,
    *,
    target: Any = None,
    methods: Any,
    metrics: Sequence[Metric] | None = None,
    unit: RankedUnit = "token",
    ranking: Ranking = "value",
    baseline: Any = None,
    seed: int = 0,
) -> Table:
    """Measure how faithful each method's ranking of the tokens is to the model: a row for each method and metric.

    Each method explains each text. Then tokens are masked by their rank, and each metric measures the effect on the
    score. Masks replace tokens; nothing is deleted. Only removable tokens count: no special tokens, no padding, no
    masks, and no tokens that the target does not read. If the target is the most probable class, it is the most
    probable class of the whole text. Values are averaged over the targets of a text, then over texts, whatever their
    length.

    Parameters
    ----------
    explainer
        The model.
    texts
        A text, or a sequence of them, as the explainer takes them.
    target
        As in a call of the explainer. Values are in its unit: with ``unit="log_prob"``, in nats. A target for every
        token of a text costs each method as many passes as the text has tokens.
    methods
        A sequence of methods as the explainer takes them, such as ``["saliency", hs.integrated_gradients()]``, or a
        dictionary from row names to methods. Instead of a method, a dictionary may hold the maps of these texts, in
        their order, such as the corpus that :func:`write_corpus` returns. Explaining many texts can then resume after
        an interruption.
    metrics
        By default :func:`comprehensiveness`, :func:`sufficiency`, :func:`masking_area` and :func:`rank_agreement`.
    unit
        The unit that is ranked and masked: ``"token"`` or ``"word"`` (the sum of its tokens' scores).
    ranking
        ``"value"`` ranks evidence for the target first; ``"magnitude"`` ranks by absolute value. Unsigned methods have
        only magnitudes.
    baseline
        The replacement of a masked token, as in :meth:`Explainer.score_masked`. A classifier never saw the mask token
        in training, so report two baselines, such as the default and ``hs.mean_embedding``.
    seed
        The seed of the random orders and the intervals.

    Returns
    -------
    Table
        The columns ``label`` (the method), ``group`` (the metric), ``value``, ``low``, ``high`` (a bootstrap interval
        of 95 % over texts), ``n`` (texts in which the metric is defined) and ``better`` (``"higher"`` or ``"lower"``).
        The rows ``"random"`` hold the mean of random orders; their interval is the lowest and the highest of five
        seeds. ``hs.figure(table, hs.Dots())`` draws it.

    Raises
    ------
    SaliencyError
        If an argument is invalid, a method cannot explain a text, or maps belong to other texts or another target. It
        is raised before anything is masked.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> texts, target = ["She drank hot tea.", "He drank cold tea."], hs.MaskedToken("tea", unit="log_prob")
    >>> table = hs.faithfulness(explainer, texts, target=target, methods=["saliency", "leave_one_out"])
    >>> table["label"].tolist()[::4]
    ['saliency', 'leave_one_out', 'random']
    """
    chosen = _checked_metrics(metrics)
    values: dict[tuple[str, str], list[tuple[float, float]]] = {}
    seed = whole(seed, "seed", 0)
    labels: list[str] = []
    unit_of_score = ""
    for text, rankings in _ranked(explainer, texts, target, methods, unit, ranking, baseline, seed):
        labels, unit_of_score = list(rankings), text.score_unit
        ranked = [row for rows in rankings.values() for row in rows if len(row)]
        text.prepare([(row.number, metric.variants(row)) for row in ranked for metric in chosen])
        for label, rows in rankings.items():
            for metric in chosen:
                values.setdefault((label, metric.name), []).append(_mean_of_targets(metric, rows))
    summaries = [
        (label, metric, summary([np.array(values[name, metric.name]) for name in names], seed))
        for label, names in bands(labels).items()
        for metric in chosen
    ]
    facts = _facts(unit, ranking, seed, unit_of_score)
    facts["metrics"] = {metric.name: dict(metric.arguments or {}) for metric in chosen}
    facts["n"] = len(next(iter(values.values())))
    return Table(
        {
            "label": [label for label, _, _ in summaries],
            "group": [metric.name for _, metric, _ in summaries],
            **{name: [measured[name] for _, _, measured in summaries] for name in ("value", "low", "high")},
            "n": [int(measured["n"]) for _, _, measured in summaries],
            "better": [metric.better for _, metric, _ in summaries],
        },
        "faithfulness",
        facts,
    )


@checks_call
def masking_curves(
    explainer: Explainer,
    texts: Any,
    *,
    target: Any = None,
    methods: Any,
    kind: Literal["deletion", "insertion"] = "deletion",
    points: int = 10,
    unit: RankedUnit = "token",
    ranking: Ranking = "value",
    baseline: Any = None,
    seed: int = 0,
) -> Table:
    """Compute the mean score by the share of units masked (deletion) or kept (insertion), the most important first.

    Parameters
    ----------
    explainer
        The model.
    texts
        As in :func:`faithfulness`.
    target
        As in :func:`faithfulness`.
    methods
        As in :func:`faithfulness`.
    kind
        ``"deletion"`` or ``"insertion"``.
    points
        The number of equal steps of the curve; at each step, the number of units of a text is rounded.
    unit
        As in :func:`faithfulness`.
    ranking
        As in :func:`faithfulness`.
    baseline
        As in :func:`faithfulness`.
    seed
        As in :func:`faithfulness`.

    Returns
    -------
    Table
        The columns ``x``, ``value``, ``low``, ``high``, ``n`` and ``group`` (the method; ``"random"`` with the band of
        five seeds), which ``hs.figure(table, hs.Curves())`` draws.

    Raises
    ------
    SaliencyError
        As :func:`faithfulness` does.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> target = hs.MaskedToken("tea", unit="log_prob")
    >>> table = hs.masking_curves(explainer, "She drank hot tea.", target=target, methods=["saliency"], points=4)
    >>> table["x"].tolist()[:5]
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    one_of(kind, ("deletion", "insertion"), "kind")
    shares = np.linspace(0, 1, whole(points, "points") + 1)
    curves: dict[str, list[np.ndarray]] = {}
    seed = whole(seed, "seed", 0)
    unit_of_score: Unit = "value"
    for text, rankings in _ranked(explainer, texts, target, methods, unit, ranking, baseline, seed):
        unit_of_score = text.score_unit
        variants = {
            label: [(row, _along(row, kind, shares)) for row in rows if len(row)]
            for label, rows in rankings.items()
        }
        text.prepare([(row.number, keep) for pairs in variants.values() for row, keep in pairs])
        for label, pairs in variants.items():
            if pairs:
                curve = np.mean([row.scores(keep) for row, keep in pairs], axis=0)
                curves.setdefault(label, []).append(np.stack([curve, np.ones(len(shares))], axis=1))
    if not curves:
        raise SaliencyError("none of these texts has a token that can be removed: give longer texts.")
    rows = [
        (label, share, summary([np.stack(curves[name])[:, i] for name in names], seed))
        for label, names in bands(curves).items()
        for i, share in enumerate(shares.tolist())
    ]
    facts = _facts(unit, ranking, seed, unit_of_score)
    facts.update({"x": f"share of {unit}s {'masked' if kind == 'deletion' else 'kept'}", "kind": kind})
    return Table(
        {
            "x": [share for _, share, _ in rows],
            **{name: [measured[name] for _, _, measured in rows] for name in ("value", "low", "high")},
            "n": [int(measured["n"]) for _, _, measured in rows],
            "group": [label for label, _, _ in rows],
        },
        f"mean {UNIT_NAMES[unit_of_score]}",
        facts,
    )


def _along(row: RankedUnits, kind: str, shares: Float[np.ndarray, " points"]) -> np.ndarray:
    counts = np.rint(shares * len(row)).astype(int).tolist()
    return row.without_top(counts) if kind == "deletion" else row.top_alone(counts)


def _ranked(
    explainer: Explainer,
    texts: Any,
    target: Any,
    methods: Any,
    unit: RankedUnit,
    ranking: Ranking,
    baseline: Any,
    seed: int,
) -> Iterator[tuple[MaskedText, dict[str, list[RankedUnits]]]]:
    """Yield each text with the ranked units of every target, by method; all methods explain all texts first."""
    one_of(unit, RANKED_UNITS, "unit")
    one_of(ranking, RANKINGS, "ranking")
    several = [texts] if is_one(texts) else list(listed(texts))
    if not several:
        raise SaliencyError("texts is empty: give one text or more.")
    maps = explained(explainer, several, target, methods)
    for number, text in enumerate(several):
        masked = MaskedText(explainer.variants(text, target, baseline=baseline), unit)
        rankings = {label: ranked_units(masked, heats[number], ranking) for label, heats in maps.items()}
        for band in range(RANDOM_SEEDS):
            rng = np.random.default_rng((seed, band, number))
            rankings[f"{RANDOM} {band}"] = [
                RankedUnits(masked, row, rng.random(len(units))) for row, units in enumerate(masked.units)
            ]
        yield masked, rankings


def explained(
    explainer: Explainer, texts: Sequence[Any], target: Any, methods: Any
) -> dict[str, list[SaliencyMap]]:
    """The maps of each method, by its name."""
    if isinstance(methods, Mapping):
        pairs = [(str(name), method) for name, method in methods.items()]
    elif isinstance(methods, (list, tuple)):
        pairs = [("", method) for method in methods]
    else:
        raise SaliencyError(
            f"methods={methods!r}: give a list such as ['saliency', hs.integrated_gradients()], or a dictionary from "
            "names to methods."
        )
    if not pairs:
        raise SaliencyError(
            "methods is empty: give one method or more, such as ['saliency', 'leave_one_out']."
        )
    maps: dict[str, list[SaliencyMap]] = {}
    for name, method in pairs:
        heats = _maps_of_texts(name, method, texts)
        if heats is None:
            heats = list(explainer(list(texts), target=target, method=method, top_k=0))
        label = name or heats[0].method
        if label in maps or label.split(" ")[0] == RANDOM:
            raise SaliencyError(
                f"the name {label!r} is taken: name the methods in a dictionary, "
                "methods={'50 steps': ..., '100 steps': ...}."
            )
        maps[label] = heats
    return maps


def _maps_of_texts(name: str, method: Any, texts: Sequence[Any]) -> list[SaliencyMap] | None:
    """Return the maps that were given instead of a method; None for a method."""
    if isinstance(method, str) or not isinstance(method, Iterable):
        return None
    heats = list(method)
    if not all(isinstance(heat, SaliencyMap) for heat in heats):
        raise SaliencyError(
            f"methods[{name!r}] is a {type(method).__name__}: give a method, or the maps of these texts."
        )
    if len(heats) != len(texts):
        raise SaliencyError(
            f"methods[{name!r}] has {len(heats)} maps for {len(texts)} texts: give one for each, in their order."
        )
    return heats


def _checked_metrics(metrics: Any) -> list[Metric]:
    if metrics is None:
        return [comprehensiveness(), sufficiency(), masking_area(), rank_agreement()]
    chosen = list(metrics) if isinstance(metrics, (list, tuple)) else []
    if not chosen or not all(isinstance(metric, Metric) for metric in chosen):
        raise SaliencyError(
            f"metrics={metrics!r}: give a list of metrics such as [hs.comprehensiveness(), hs.decision_flip()]."
        )
    names = [metric.name for metric in chosen]
    if len(set(names)) < len(names):
        raise SaliencyError(
            f"two metrics have one name, {names}: give one of each, or another name to one of them."
        )
    return chosen


def _mean_of_targets(metric: Metric, rows: Sequence[RankedUnits]) -> tuple[float, float]:
    """The mean numerator and denominator of a text's targets; NaN if no target has a value."""
    pairs = [metric.measure(row) for row in rows if len(row)]
    known = [pair for pair in pairs if np.isfinite(pair).all()]
    return tuple(np.mean(known, axis=0).tolist()) if known else (np.nan, np.nan)


def _facts(unit: str, ranking: str, seed: int, unit_of_score: str) -> dict[str, Any]:
    return {
        "score": unit_of_score,
        "unit": unit,
        "ranking": ranking,
        "interval": INTERVAL,
        "random": BAND,
        "seed": seed,
    }

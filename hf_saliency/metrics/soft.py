"""Soft comprehensiveness and sufficiency: each unit stays with a probability that follows its importance."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import SaliencyError, whole
from hf_saliency.metrics.metric import Keep, Metric, RankedUnits, named_metric


@named_metric
def soft_comprehensiveness(retain: float | None = 0.5, samples: int = 20, seed: int = 0) -> Metric:
    """How much the score falls when units are masked more often the more important they are.

    ``max(0, f(x) - f(x'))`` over ``max(0, f(x) - f(all masked))``, where ``x'`` is the text with unit i kept with a
    probability that falls with its value. Both are averaged over texts before they are divided. The higher, the more
    faithful.

    Values are scaled to the range from 0 to 1 within the text. With ``retain=None`` they are the probabilities, as
    published in 2023: a method whose values are mostly large then masks more of the text and gains by that alone. With
    ``retain``, the expected share of kept units is the same for every method.

    **Trap**: the metric is random. All methods see the same draws, and the metric averages over ``samples`` of them.
    The original drops elements of embeddings; this metric masks whole units. The comparison at equal retention is from
    arXiv:2601.03089; the linear map that scales the values to it is from this package.

    Parameters
    ----------
    retain
        The expected share of kept units, or None to leave the probabilities unscaled.
    samples
        The number of masked texts to draw.
    seed
        The seed of the draws.

    Returns
    -------
    Metric

    Raises
    ------
    SaliencyError
        If ``retain`` is not between 0 and 1, or if ``samples`` is below 1.

    References
    ----------
    Zhao and Aletras 2023, Incorporating Attribution Importance for Improving Faithfulness Metrics, arXiv:2305.10496;
    Huang and Chan 2026, Faithfulness Evaluation for Decoder-only LLM Attributions with Controlled Retained
    Information, arXiv:2601.03089.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.soft_comprehensiveness(retain=0.8).arguments
    {'retain': 0.8, 'samples': 20, 'seed': 0}
    """
    return _soft("soft_comprehensiveness", retain, samples, seed)


@named_metric
def soft_sufficiency(retain: float | None = 0.5, samples: int = 20, seed: int = 0) -> Metric:
    """How much of the score remains when units are kept more often the more important they are.

    ``1 - max(0, f(x) - f(x')) / max(0, f(x) - f(all masked))``, where ``x'`` is the text with unit i kept with a
    probability that rises with its value. Both parts are averaged over texts before they are divided. The higher, the
    more faithful.

    **Trap**: the same as for :func:`soft_comprehensiveness`.

    Parameters
    ----------
    retain
        The expected share of kept units, or None to leave the probabilities unscaled.
    samples
        The number of masked texts to draw.
    seed
        The seed of the draws.

    Returns
    -------
    Metric

    Raises
    ------
    SaliencyError
        If ``retain`` is not between 0 and 1, or if ``samples`` is below 1.

    References
    ----------
    Zhao and Aletras 2023, arXiv:2305.10496; Huang and Chan 2026, arXiv:2601.03089.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.soft_sufficiency().better
    'higher'
    """
    return _soft("soft_sufficiency", retain, samples, seed)


def _soft(
    name: Literal["soft_comprehensiveness", "soft_sufficiency"], retain: float | None, samples: int, seed: int
) -> Metric:
    if retain is not None and not (isinstance(retain, (int, float)) and 0 < retain < 1):
        raise SaliencyError(f"retain={retain!r}: give a number between 0 and 1, such as retain=0.5, or None.")
    samples, seed = whole(samples, "samples"), whole(seed, "seed", 0)
    removes = name == "soft_comprehensiveness"

    def variants(ranked: RankedUnits) -> Keep:
        draws = np.random.default_rng((seed, ranked.number)).random((samples, len(ranked)))
        importance = unit_interval(ranked.values)
        return draws < retained(1 - importance if removes else importance, retain)

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        drops = np.maximum(ranked.whole - ranked.scores(variants(ranked)), 0)
        most = max(ranked.whole - ranked.empty, 0.0)
        return float(drops.mean()) if removes else most - float(drops.mean()), most

    arguments = {"retain": retain, "samples": samples, "seed": seed}
    return Metric(name, "higher", measure, variants, arguments, "Zhao and Aletras 2023")


def unit_interval(values: Float[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
    """Scale values to the range from 0 to 1; if all are equal, each becomes 0.5."""
    values = np.where(np.isfinite(values), values, np.nanmin(values, initial=0.0))
    spread = np.ptp(values)
    return (values - values.min()) / spread if spread > 0 else np.full(len(values), 0.5)


def retained(importance: Float[np.ndarray, " units"], retain: float | None) -> Float[np.ndarray, " units"]:
    """Return probabilities with the mean ``retain`` that keep the order of the importance."""
    mean = float(importance.mean())
    if retain is None or mean == retain:
        return importance
    if mean > retain:
        return np.asarray(importance * (retain / mean))
    return np.asarray(1 - (1 - importance) * ((1 - retain) / (1 - mean)))

"""Agreement of a ranking with what each unit's own masking does to the score."""

from __future__ import annotations

import numpy as np

from hf_saliency.maps.compare import rank_correlation
from hf_saliency.metrics.metric import Keep, Metric, RankedUnits


def rank_agreement() -> Metric:
    """Spearman's correlation of a method's values with the fall of the score when one unit alone is masked.

    ``spearman(values, f(x) - f(x without unit i))``, of magnitudes on both sides where the ranking is by magnitude.
    From -1 to 1; the higher, the closer to leave-one-out.

    **Trap**: :func:`hf_saliency.leave_one_out` is this very measure, and so is
    :func:`hf_saliency.sequential_integrated_gradients` with summed reduction: both reach 1 by definition. Masking one
    unit misses what two units say together, so that a low agreement is no proof of a bad method.

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

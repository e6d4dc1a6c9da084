"""Methods whose paths go through words: sequential and discretized integrated gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from captum.attr import Attribution

from hf_saliency.attribution.discretized_integrated_gradients import (
    DiscretizedIntegratedGradients,
    check_factor,
)
from hf_saliency.attribution.method import Method, Reduction, described, keeps_sign, positive
from hf_saliency.attribution.quadrature import Quadrature, check_quadrature
from hf_saliency.attribution.sequential_integrated_gradients import SequentialIntegratedGradients
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.attribution.word_paths import Strategy, check_strategy


def sequential_integrated_gradients(
    n_steps: int = 50,
    *,
    baseline: Any = None,
    quadrature: Quadrature = "gausslegendre",
    reduction: Reduction = "total",
) -> Method:
    """Sequential integrated gradients: for each token a path on which that token alone is replaced. Signed.

    Each token's score is the score of the text minus that of the text with this token at its baseline.

    Parameters
    ----------
    n_steps
        Points on each token's path.
    baseline
        As for :func:`integrated_gradients`.
    quadrature
        As for :func:`integrated_gradients`.
    reduction
        As for :func:`integrated_gradients`.

    Returns
    -------
    Method
        ``n_steps`` forward and backward passes for each token.

    Raises
    ------
    SaliencyError
        For an unknown rule or reduction, and for a number out of its range. Explaining a text raises it if the
        baseline does not fit.

    References
    ----------
    Enguehard, Sequential integrated gradients, 2023, arXiv:2305.15853.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.sequential_integrated_gradients(n_steps=5))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    positive(n_steps, "n_steps")
    check_quadrature(quadrature, n_steps)
    return Method(
        "sequential_integrated_gradients",
        lambda score, tables: SequentialIntegratedGradients(score),
        {
            "n_steps": n_steps,
            "baseline": described(baseline),
            "quadrature": quadrature,
            "reduction": reduction,
        },
        call=lambda call: {
            "baselines": call.baselines(baseline),
            "n_steps": n_steps,
            "method": quadrature,
            "internal_batch_size": call.rows_at_once,
        },
        reduction=reduction,
        signed=keeps_sign(reduction),
        remedy="more steps (n_steps=), or another baseline",
        passes=lambda tokens: (n_steps * tokens + tokens + 2, n_steps * tokens),
        citation="Enguehard 2023, arXiv:2305.15853",
    )


def discretized_integrated_gradients(
    n_steps: int = 30,
    *,
    baseline: Any = None,
    strategy: Strategy = "greedy",
    n_neighbors: int = 500,
    factor: int = 0,
    reduction: Reduction = "total",
) -> Method:
    """Discretized integrated gradients: a path from word to word of the vocabulary. Signed.

    Parameters
    ----------
    n_steps
        Words on the path.
    baseline
        As for :func:`integrated_gradients`.
    strategy
        How the next word is chosen among the nearest ones: ``"greedy"``, the one that the path need change
        least to stay monotonic, or ``"maxcount"``, the one monotonic in the most dimensions.
    n_neighbors
        How many of the nearest words are looked at.
    factor
        How often every stretch of the path is halved, for a smaller convergence delta.
    reduction
        As for :func:`integrated_gradients`.

    Returns
    -------
    Method
        ``(n_steps + 1) * 2 ** factor`` forward and backward passes, and two forward passes for prediction and
        convergence delta.

    Raises
    ------
    SaliencyError
        For an unknown strategy or reduction, and for a number out of its range. Explaining a text raises it if the
        baseline does not fit.

    References
    ----------
    Sanyal and Ren, Discretized integrated gradients for explaining language models, 2021, arXiv:2108.13654.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.discretized_integrated_gradients(10, factor=3))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    positive(n_steps, "n_steps")
    positive(n_neighbors, "n_neighbors")
    check_strategy(strategy)
    check_factor(factor)
    points = (n_steps + 1) * 2**factor

    def build(score: Any, tables: Sequence[Vocabulary]) -> Attribution:
        return DiscretizedIntegratedGradients(
            score, tuple(tables), strategy=strategy, n_neighbors=n_neighbors
        )

    return Method(
        "discretized_integrated_gradients",
        build,
        {
            "n_steps": n_steps,
            "baseline": described(baseline),
            "strategy": strategy,
            "n_neighbors": n_neighbors,
            "factor": factor,
            "reduction": reduction,
        },
        call=lambda call: {
            "baselines": call.baselines(baseline),
            "n_steps": n_steps,
            "factor": factor,
            "internal_batch_size": call.rows_at_once,
        },
        reduction=reduction,
        signed=keeps_sign(reduction),
        remedy="a larger factor, such as factor=3, which halves the stretches of the path",
        passes=lambda tokens: (points + 2, points),
        citation="Sanyal and Ren 2021, arXiv:2108.13654",
    )

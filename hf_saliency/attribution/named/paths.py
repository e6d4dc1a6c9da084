"""Methods that integrate the gradient on a path from a baseline to the text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from captum.attr import Attribution, FeatureAblation, IntegratedGradients

from hf_saliency.attribution.adaptive import AdaptiveIntegratedGradients, check_tolerance
from hf_saliency.attribution.discretized import (
    DiscretizedIntegratedGradients,
    Rule,
    Strategy,
    check_factor,
    check_rule,
    check_strategy,
)
from hf_saliency.attribution.expected_gradients import ExpectedGradients, StratifiedGradientShap
from hf_saliency.attribution.inputs import Quadrature, check_quadrature
from hf_saliency.attribution.method import Call, Method, described, keeps_sign, named_method
from hf_saliency.attribution.sequential import SequentialIntegratedGradients
from hf_saliency.attribution.token_presence import TokenPresence
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import Reduction, SaliencyError, check_reduction, real, whole

# Where gradients do not add up, as on many decoders with RMSNorm, differences of scores keep their meaning.
_NO_SUM = ", or a method that takes no gradients: hs.leave_one_out() or hs.shapley_sampling()"


@named_method
def sequential_integrated_gradients(
    n_steps: int = 50,
    *,
    baseline: Any = None,
    quadrature: Quadrature = "gausslegendre",
    reduction: Reduction = "sum",
) -> Method:
    """Sequential integrated gradients: a path for each token, on which only that token moves. Signed.

    Summed over the width, a token's score is exactly the score of the text minus that of the text with this token at
    its baseline, as in :func:`leave_one_out`. It is computed as that difference, without steps. Other reductions need
    the path, as does :class:`SequentialIntegratedGradients`, which returns the part of each dimension.

    Parameters
    ----------
    n_steps
        Number of points on each token's path; no effect on a sum.
    baseline
        As for :func:`integrated_gradients`.
    quadrature
        As for :func:`integrated_gradients`; no effect on a sum.
    reduction
        As for :func:`integrated_gradients`.

    Returns
    -------
    Method
        It needs one forward pass for each token, or ``n_steps`` forward and backward passes for each token if the
        reduction is not a sum.

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
    n_steps, reduction = whole(n_steps, "n_steps"), check_reduction(reduction)
    quadrature = check_quadrature(quadrature, n_steps)
    arguments = {
        "n_steps": n_steps,
        "baseline": described(baseline),
        "quadrature": quadrature,
        "reduction": reduction,
    }
    if reduction == "sum":
        return Method(
            "sequential_integrated_gradients",
            lambda score, tables: _PathEnds(score, FeatureAblation),
            arguments,
            call=lambda call: {
                "baselines": call.baselines(baseline),
                "feature_mask": call.feature_mask("token"),
                "perturbations_per_eval": call.copies_at_once,
            },
            reduction=None,
            passes=lambda tokens: (tokens + 2, 0),
            citation="Enguehard 2023, arXiv:2305.15853",
        )
    return Method(
        "sequential_integrated_gradients",
        lambda score, tables: SequentialIntegratedGradients(score),
        arguments,
        call=lambda call: {
            "baselines": call.baselines(baseline),
            "n_steps": n_steps,
            "method": quadrature,
            "internal_batch_size": call.rows_at_once,
        },
        reduction=reduction,
        signed=keeps_sign(reduction),
        remedy=f"more steps (n_steps=), another baseline{_NO_SUM}",
        passes=lambda tokens: (n_steps * tokens + tokens + 2, n_steps * tokens),
        citation="Enguehard 2023, arXiv:2305.15853",
    )


class _PathEnds(TokenPresence):
    """Path of one token, summed over the width: the difference of the scores at its two ends."""

    def has_convergence_delta(self) -> bool:
        return True

    def attribute(self, *args: Any, return_convergence_delta: bool = False, **arguments: Any) -> Any:
        """Return the differences, with a convergence delta of zero."""
        values = super().attribute(*args, **arguments)
        first = values[0] if isinstance(values, tuple) else values
        return (values, first.new_zeros(len(first))) if return_convergence_delta else values


@named_method
def discretized_integrated_gradients(
    n_steps: int = 30,
    *,
    baseline: Any = None,
    strategy: Strategy = "greedy",
    n_neighbors: int = 500,
    factor: int = 2,
    quadrature: Rule = "trapezoid",
    reduction: Reduction = "sum",
) -> Method:
    """Discretized integrated gradients: a path from word to word of the vocabulary. Signed.

    Parameters
    ----------
    n_steps
        Number of words on the path.
    baseline
        As for :func:`integrated_gradients`.
    strategy
        Rule that chooses the next word among the nearest ones: ``"greedy"`` takes the word that needs the smallest
        change to keep the path monotonic, ``"maxcount"`` the word that is monotonic in the most dimensions.
    n_neighbors
        Number of nearest words to choose from.
    factor
        How many times every stretch of the path is halved, for a smaller convergence delta.
    quadrature
        ``"trapezoid"`` multiplies each stretch by the mean of the gradients at its two ends, ``"riemann_left"`` by the
        gradient at its beginning, as the article does with ``factor=0``. The article's sum misses about a third of the
        difference of scores on the bundled model.
    reduction
        As for :func:`integrated_gradients`.

    Returns
    -------
    Method
        It needs ``(n_steps + 1) * 2 ** factor + 1`` forward and backward passes, and one forward pass for the
        prediction.

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
    n_steps, n_neighbors = whole(n_steps, "n_steps"), whole(n_neighbors, "n_neighbors")
    strategy, factor, reduction = check_strategy(strategy), check_factor(factor), check_reduction(reduction)
    quadrature = check_rule(quadrature, "quadrature")
    points = (n_steps + 1) * 2**factor + (quadrature == "trapezoid")

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
            "quadrature": quadrature,
            "reduction": reduction,
        },
        call=lambda call: {
            "baselines": call.baselines(baseline),
            "n_steps": n_steps,
            "factor": factor,
            "method": quadrature,
            "internal_batch_size": call.rows_at_once,
        },
        reduction=reduction,
        signed=keeps_sign(reduction),
        remedy=f"a larger factor, which halves the stretches of the path{_NO_SUM}",
        passes=lambda tokens: (points + (1 if quadrature == "trapezoid" else 2), points),
        citation="Sanyal and Ren 2021, arXiv:2108.13654",
    )


@named_method
def integrated_gradients(
    n_steps: int | None = None,
    *,
    baseline: Any = None,
    tolerance: float | None = None,
    quadrature: Quadrature = "gausslegendre",
    reduction: Reduction = "sum",
) -> Method:
    """Integrated gradients: each token's part of the difference between the scores of text and baseline. Signed.

    Parameters
    ----------
    n_steps
        Number of points on the path, by default 50. With a tolerance, the largest number of points for one target, by
        default 1,024.
    baseline
        The start of the path: ``hs.mask_embedding``, ``hs.pad_embedding``, ``hs.mean_embedding``,
        ``hs.zero_embedding``, a text with the same number of tokens (a tuple of texts for an input that is a tuple), a
        tensor (tokens, width), a number, or a function (embedding, tokenizer, ids) -> tensor. Special tokens and masks
        are not replaced. The default is the mask embedding, or the mean embedding for a model without a mask token. A
        list holds several baselines, whose attributions are averaged (expected gradients); a tuple is one baseline
        made of several texts.
    tolerance
        Take as many points as each target needs for a convergence delta below this fraction of the difference
        of scores. ``quadrature`` is then ignored.
    quadrature
        Captum's name for the rule of integration.
    reduction
        Reduction over the width. ``"sum"`` keeps completeness: the tokens add up to the difference of scores.

    Returns
    -------
    Method
        It needs ``n_steps`` forward and backward passes and two forward passes for the convergence delta, all for each
        baseline, and one forward pass for the prediction.

    Raises
    ------
    SaliencyError
        For an unknown rule or reduction, and for a number out of its range. Explaining a text raises it if the
        baseline does not fit.

    References
    ----------
    Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, 2017, arXiv:1703.01365.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.integrated_gradients(tolerance=1e-2))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    >>> bool(abs(heat.convergence_delta[0]) < 1e-2 * heat.scores[0].sum())
    True
    """
    citation = "Sundararajan et al. 2017, arXiv:1703.01365"
    count = len(baseline) if _are_several(baseline) else 1
    reduction = check_reduction(reduction)
    if tolerance is not None:
        return _adaptive(n_steps, baseline, tolerance, reduction, citation)
    steps = whole(50 if n_steps is None else n_steps, "n_steps")
    quadrature = check_quadrature(quadrature, steps)
    return Method(
        "integrated_gradients",
        lambda score, tables: _over_baselines(IntegratedGradients(score), baseline),
        {
            "n_steps": steps,
            "baseline": described(baseline),
            "quadrature": quadrature,
            "reduction": reduction,
        },
        call=lambda call: {
            "baselines": _baselines(call, baseline),
            "n_steps": steps,
            "method": quadrature,
            "internal_batch_size": _balanced(call, steps),
        },
        reduction=reduction,
        signed=keeps_sign(reduction),
        remedy="hs.integrated_gradients(tolerance=1e-3), which takes the steps that it needs, another baseline"
        + _NO_SUM,
        passes=lambda tokens: (count * (steps + 2) + 1, count * steps),
        citation=citation,
    )


def _adaptive(
    n_steps: int | None, baseline: Any, tolerance: float, reduction: Reduction, citation: str
) -> Method:
    tolerance = check_tolerance(tolerance)
    most = whole(1024 if n_steps is None else n_steps, "n_steps", least=3)
    return Method(
        "integrated_gradients",
        lambda score, tables: _over_baselines(_Silent(score), baseline),
        {
            "tolerance": tolerance,
            "n_steps": most,
            "baseline": described(baseline),
            "reduction": reduction,
        },
        call=lambda call: {
            "baselines": _baselines(call, baseline),
            "tolerance": tolerance,
            "max_steps": most,
            "internal_batch_size": call.rows_at_once,
        },
        reduction=reduction,
        signed=keeps_sign(reduction),
        tolerance=tolerance,
        remedy="a larger tolerance=, more points (n_steps=), another baseline, a model in float32 or float64"
        + _NO_SUM,
        citation=citation,
    )


class _Silent(AdaptiveIntegratedGradients):
    """Adaptive integrated gradients without a warning: the explainer warns, since it knows targets and caller."""

    def warn(self, *arguments: Any) -> None:
        """Do nothing."""


@named_method
def gradient_shap(
    n_samples: int = 100,
    *,
    baseline: Any = None,
    noise_level: float = 0.0,
    reduction: Reduction = "sum",
    seed: int = 0,
) -> Method:
    """Gradient SHAP: the gradient at random points between baseline and text, times their difference. Signed.

    With one baseline it estimates integrated gradients. With a list of baselines it estimates expected gradients at the
    same cost, since each point is between the text and one of them. One random point is drawn in each of ``n_samples``
    equal stretches. Captum draws all points from the whole path: the expectation is the same, the error larger.

    Parameters
    ----------
    n_samples
        Number of points.
    baseline
        As for :func:`integrated_gradients`. Each sample takes one baseline of a list, all about equally often.
    noise_level
        Standard deviation of the noise on the text, as a fraction of that of its embeddings.
    reduction
        As for :func:`integrated_gradients`.
    seed
        Seed that makes the samples reproducible.

    Returns
    -------
    Method
        It needs ``n_samples`` forward and backward passes. The convergence delta needs one forward pass for the text
        (for each sample if there is noise) and one for each baseline, and the prediction needs one more.

    Raises
    ------
    SaliencyError
        For an unknown reduction, and for a number out of its range. Explaining a text raises it if the baseline
        does not fit.

    References
    ----------
    Lundberg and Lee, A unified approach to interpreting model predictions, 2017, arXiv:1705.07874.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.gradient_shap())
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    n_samples, seed = whole(n_samples, "n_samples"), whole(seed, "seed", least=0)
    count = len(baseline) if _are_several(baseline) else 1
    noise_level = real(noise_level, "noise_level", "0.1", zero=True)
    reduction = check_reduction(reduction)

    def call(call: Call) -> Mapping[str, Any]:
        stdevs = tuple(float(noise_level * embeds.detach().float().std()) for embeds in call.embeds)
        return {
            "baselines": _drawn_from(call, baseline),
            "n_samples": n_samples,
            "stdevs": stdevs if len(stdevs) > 1 else stdevs[0],
            "internal_batch_size": call.rows_at_once,
        }

    return Method(
        "gradient_shap",
        lambda score, tables: StratifiedGradientShap(score),
        {
            "n_samples": n_samples,
            "baseline": described(baseline),
            "noise_level": noise_level,
            "reduction": reduction,
            "seed": seed,
        },
        call=call,
        reduction=reduction,
        signed=keeps_sign(reduction),
        seed=seed,
        remedy="more samples (n_samples=), another baseline" + _NO_SUM,
        passes=lambda tokens: (n_samples + (n_samples if noise_level else 1) + count + 1, n_samples),
        citation="Lundberg and Lee 2017, arXiv:1705.07874",
    )


def _are_several(baseline: Any) -> bool:
    """Whether a baseline is a list of baselines; refuses an empty one."""
    if isinstance(baseline, list) and not baseline:
        raise SaliencyError(
            "baseline=[]: give a list of baselines, such as [hs.mask_embedding, hs.mean_embedding]."
        )
    return isinstance(baseline, list)


def _baselines(call: Call, baseline: Any) -> Any:
    """Return the baseline in the form that Captum takes, or a list of them."""
    return [call.baselines(part) for part in baseline] if _are_several(baseline) else call.baselines(baseline)


def _drawn_from(call: Call, baseline: Any) -> Any:
    """Return the baselines of one row as a batch, from which gradient SHAP draws."""
    if not _are_several(baseline):
        return call.baselines(baseline)
    parts = _baselines(call, baseline)
    if isinstance(parts[0], tuple):
        return tuple(torch.cat(streams) for streams in zip(*parts, strict=True))
    return torch.cat(parts)


def _over_baselines(attribution: Attribution, baseline: Any) -> Attribution:
    return ExpectedGradients(attribution) if _are_several(baseline) else attribution


def _balanced(call: Call, steps: int) -> int:
    """Choose Captum's ``internal_batch_size`` for the fewest passes, with about the same number of steps in each."""
    passes = math.ceil(steps / call.copies_at_once)
    return math.ceil(steps / passes) * len(call.embeds[0])

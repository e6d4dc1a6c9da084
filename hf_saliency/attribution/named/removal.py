"""Methods that remove tokens or words and look at what becomes of the score."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from captum.attr import Attribution, FeatureAblation, KernelShap, Lime, Occlusion, ShapleyValueSampling

from hf_saliency.attribution.method import Call, Method, described, positive
from hf_saliency.attribution.token_presence import TokenPresence
from hf_saliency.errors import FEATURES, Feature, SaliencyError


def leave_one_out(*, baseline: Any = None, feature: Feature = "token") -> Method:
    """Leave-one-out: how much the score falls when a token is replaced, the others staying. Signed.

    Parameters
    ----------
    baseline
        What replaces a token: ``hs.mask_embedding``, ``hs.pad_embedding``, ``hs.mean_embedding``,
        ``hs.zero_embedding``, a text of as many tokens (a tuple of texts where one is explained), a tensor
        (tokens, width), a number, or a function (embedding, tokenizer, ids) -> tensor. Special tokens and masks
        are never replaced, and score zero. By default the mask embedding, and the mean embedding for a model
        without a mask token.
    feature
        ``"token"``, or ``"word"``: the tokens of a word go together and share its score evenly.

    Returns
    -------
    Method
        One forward pass for each feature, and two more.

    Raises
    ------
    SaliencyError
        For an unknown feature. Explaining a text raises it if the baseline does not fit.

    References
    ----------
    Li, Monroe and Jurafsky, Understanding neural networks through representation erasure, 2016,
    arXiv:1612.08220.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(feature="word"))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    return removal(
        "leave_one_out",
        FeatureAblation,
        {"baseline": described(baseline), "feature": feature},
        baseline,
        feature,
        passes=lambda features: (features + 2, 0),
        citation="Li et al. 2016, arXiv:1612.08220",
    )


def occlusion(
    window: int = 3, *, stride: int = 1, baseline: Any = None, feature: Feature = "token"
) -> Method:
    """Occlusion: how much the score falls when a window of neighbours is replaced, averaged over windows. Signed.

    Parameters
    ----------
    window
        How many neighbouring tokens or words are replaced at a time; tokens that are never replaced do not count.
    stride
        By how many the window moves.
    baseline
        As for :func:`leave_one_out`.
    feature
        As for :func:`leave_one_out`.

    Returns
    -------
    Method
        One forward pass for each window, and two more.

    Raises
    ------
    SaliencyError
        For an unknown feature, a window below 1, and a stride below 1 or above the window. Explaining a text
        raises it if the baseline does not fit.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, 2014, arXiv:1311.2901.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.occlusion(window=2))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    positive(window, "window")
    positive(stride, "stride")
    if stride > window:
        raise SaliencyError(f"stride={stride} steps over tokens: give at most the window, {window}.")

    def build(forward_func: Any) -> Attribution:
        return _Windows(forward_func, window, stride)

    return removal(
        "occlusion",
        build,
        {"window": window, "stride": stride, "baseline": described(baseline), "feature": feature},
        baseline,
        feature,
        passes=lambda features: (math.ceil(max(0, features - window) / stride) + 3, 0),
        citation="Zeiler and Fergus 2014, arXiv:1311.2901",
    )


class _Windows(Occlusion):  # type: ignore[misc]
    """Occlusion by windows no longer than what there is to occlude."""

    def __init__(self, forward_func: Callable[..., Any], window: int, stride: int) -> None:
        Occlusion.__init__(self, forward_func)
        self.window, self.stride = window, stride
        self.use_weights = False  # Captum divides by the number of windows in float32, so it is done here

    def attribute(self, inputs: Any, **arguments: Any) -> Any:
        count = inputs.shape[1]
        window = min(self.window, count)
        stride = min(self.stride, window)
        totals = super().attribute(inputs, (window,), strides=stride, **arguments)
        starts = torch.arange(0, count - window + stride, stride)  # the last may reach over the end
        places = torch.arange(count)
        windows = ((starts[:, None] <= places) & (places < starts[:, None] + window)).sum(dim=0)
        return totals / windows.to(totals)


def shapley_sampling(
    n_samples: int = 25, *, baseline: Any = None, feature: Feature = "token", seed: int = 0
) -> Method:
    """Shapley value sampling: what a token adds to the score, on average over random orders. Signed.

    The tokens' scores add up to the score of the text minus that of the text with all of them replaced.

    Parameters
    ----------
    n_samples
        How many orders.
    baseline
        As for :func:`leave_one_out`.
    feature
        As for :func:`leave_one_out`.
    seed
        Makes the samples repeat.

    Returns
    -------
    Method
        ``n_samples`` forward passes for each feature, and two more.

    Raises
    ------
    SaliencyError
        For an unknown feature, and for a number out of its range. Explaining a text raises it if the baseline does
        not fit.

    References
    ----------
    Castro, Gomez and Tejada, Polynomial calculation of the Shapley value based on sampling, 2009,
    doi:10.1016/j.cor.2008.04.004; Strumbelj and Kononenko, An efficient explanation of individual
    classifications using game theory, 2010.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.shapley_sampling(n_samples=5))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    return removal(
        "shapley_sampling",
        ShapleyValueSampling,
        {
            "n_samples": positive(n_samples, "n_samples"),
            "baseline": described(baseline),
            "feature": feature,
            "seed": seed,
        },
        baseline,
        feature,
        options={"n_samples": n_samples},
        seed=seed,
        passes=lambda features: (n_samples * features + 2, 0),
        citation="Castro et al. 2009, doi:10.1016/j.cor.2008.04.004",
    )


def removal(
    name: str,
    method: Callable[[Any], Attribution],
    arguments: Mapping[str, Any],
    baseline: Any,
    feature: Feature,
    *,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    passes: Callable[[int], tuple[int, int]],
    citation: str,
) -> Method:
    """A method of the game in which tokens are present or absent.

    Parameters
    ----------
    name
        What it is called.
    method
        Makes Captum's attribution of a score of presences.
    arguments
        What to note of it.
    baseline
        What stands for an absent token.
    feature
        Whether tokens or words are removed.
    options
        What Captum's ``attribute`` is given beside baselines and features.
    seed
        Makes samples repeat.
    passes
        Forward and backward passes for so many features.
    citation
        Where it comes from.

    Returns
    -------
    Method
    """
    check_feature(feature)

    def call(call: Call) -> Mapping[str, Any]:
        return {
            "baselines": call.baselines(baseline),
            "feature_mask": call.feature_mask(feature),
            "perturbations_per_eval": call.copies_at_once,
            **(options or {}),
        }

    return Method(
        name,
        lambda score, tables: TokenPresence(score, method),
        arguments,
        call=call,
        reduction=None,
        seed=seed,
        passes=passes,
        citation=citation,
    )


def check_feature(feature: object) -> None:
    """Refuse a kind of feature that does not exist."""
    if feature not in FEATURES:
        raise SaliencyError(f"feature={feature!r}: choose one of {', '.join(map(repr, FEATURES))}.")


def kernel_shap(
    n_samples: int = 500, *, baseline: Any = None, feature: Feature = "token", seed: int = 0
) -> Method:
    """Kernel SHAP: Shapley values by a weighted linear regression on random subsets of tokens. Signed.

    Parameters
    ----------
    n_samples
        How many subsets: more than there are features.
    baseline
        As for :func:`leave_one_out`.
    feature
        As for :func:`leave_one_out`.
    seed
        Makes the samples repeat.

    Returns
    -------
    Method
        ``n_samples`` forward passes, and one more. It needs scikit-learn.

    Raises
    ------
    SaliencyError
        For an unknown feature, for a number out of its range, and without scikit-learn. Explaining a text raises
        it if the baseline does not fit.

    References
    ----------
    Lundberg and Lee, A unified approach to interpreting model predictions, 2017, arXiv:1705.07874.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.kernel_shap(n_samples=100))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    _require_sklearn("kernel_shap")
    return removal(
        "kernel_shap",
        KernelShap,
        {
            "n_samples": positive(n_samples, "n_samples"),
            "baseline": described(baseline),
            "feature": feature,
            "seed": seed,
        },
        baseline,
        feature,
        options={"n_samples": n_samples},
        seed=seed,
        passes=lambda features: (n_samples + 1, 0),
        citation="Lundberg and Lee 2017, arXiv:1705.07874",
    )


def lime(
    n_samples: int = 500,
    *,
    alpha: float = 0.01,
    kernel_width: float = 1.0,
    baseline: Any = None,
    feature: Feature = "token",
    seed: int = 0,
) -> Method:
    """LIME: weights of a sparse linear model of the score around the text. Signed.

    Parameters
    ----------
    n_samples
        How many random subsets of tokens: more than there are features.
    alpha
        Strength of the Lasso penalty, in units of the score.
    kernel_width
        Width of the exponential kernel that weighs a subset by its cosine distance from the whole text.
    baseline
        As for :func:`leave_one_out`.
    feature
        As for :func:`leave_one_out`.
    seed
        Makes the samples repeat.

    Returns
    -------
    Method
        ``n_samples`` forward passes, and one more. It needs scikit-learn.

    Raises
    ------
    SaliencyError
        For an unknown feature, for a number out of its range, and without scikit-learn. Explaining a text raises
        it if the baseline does not fit.

    References
    ----------
    Ribeiro, Singh and Guestrin, "Why should I trust you?", 2016, arXiv:1602.04938.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.lime(n_samples=100))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    _require_sklearn("lime")
    for name, value in (("alpha", alpha), ("kernel_width", kernel_width)):
        if not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise SaliencyError(f"{name}={value!r}: give a positive number, such as 0.01.")

    def build(forward_func: Any) -> Attribution:
        from captum._utils.models.linear_model import SkLearnLasso
        from captum.attr._core.lime import get_exp_kernel_similarity_function

        return Lime(
            forward_func,
            interpretable_model=SkLearnLasso(alpha=alpha),
            similarity_func=get_exp_kernel_similarity_function("cosine", kernel_width=kernel_width),
        )

    return removal(
        "lime",
        build,
        {
            "n_samples": positive(n_samples, "n_samples"),
            "alpha": alpha,
            "kernel_width": kernel_width,
            "baseline": described(baseline),
            "feature": feature,
            "seed": seed,
        },
        baseline,
        feature,
        options={"n_samples": n_samples},
        seed=seed,
        passes=lambda features: (n_samples + 1, 0),
        citation="Ribeiro et al. 2016, arXiv:1602.04938",
    )


def _require_sklearn(name: str) -> None:
    if importlib.util.find_spec("sklearn") is None:
        raise SaliencyError(
            f"{name} needs scikit-learn, which Captum fits the surrogate with: pip install scikit-learn, the extra "
            "'surrogate' of this package."
        )

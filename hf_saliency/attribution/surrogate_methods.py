"""Methods that fit a linear surrogate of the score to texts with tokens removed: kernel SHAP and LIME."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

from captum.attr import Attribution, KernelShap, Lime

from hf_saliency.attribution.method import Method, described, positive
from hf_saliency.attribution.removal_methods import removal
from hf_saliency.errors import SaliencyError
from hf_saliency.terms import Feature


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

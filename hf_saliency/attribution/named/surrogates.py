"""Methods that fit a linear model to the scores of random subsets of the text."""

from __future__ import annotations

import functools
import importlib.util
import warnings
from typing import Any

import torch
from captum._utils.models.linear_model import SkLearnLasso
from captum.attr import Attribution, KernelShap, Lime
from captum.attr._core.lime import get_exp_kernel_similarity_function
from torch.utils.data import DataLoader, TensorDataset

from hf_saliency.attribution.method import Method, named_method
from hf_saliency.attribution.named.removal import removal
from hf_saliency.errors import Feature, SaliencyError, real, warn, whole


@named_method
def kernel_shap(
    n_samples: int = 500, *, baseline: Any = None, feature: Feature = "token", seed: int = 0
) -> Method:
    """Kernel SHAP: Shapley values by a weighted linear regression on random subsets of tokens. Signed.

    Parameters
    ----------
    n_samples
        Number of subsets. Below twice the number of features, a warning names the number to use.
    baseline
        As for :func:`leave_one_out`.
    feature
        As for :func:`leave_one_out`.
    seed
        Seed that makes the samples reproducible.

    Returns
    -------
    Method
        It needs scikit-learn, ``n_samples`` forward passes, and one more. Few features need fewer passes, since each
        subset is evaluated only once.

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
    n_samples, seed = whole(n_samples, "n_samples"), whole(seed, "seed", least=0)
    return removal(
        "kernel_shap",
        KernelShap,
        {"n_samples": n_samples},
        baseline,
        feature,
        options={"n_samples": n_samples},
        seed=seed,
        check=functools.partial(_check_samples, "kernel_shap", n_samples),
        passes=lambda features: (n_samples + 1, 0),
        citation="Lundberg and Lee 2017, arXiv:1705.07874",
    )


@named_method
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
        Number of random subsets of tokens. Below twice the number of features, a warning names the number to use.
    alpha
        Strength of the Lasso penalty, in standard deviations of the score over the subsets. The unit and spread of
        the score therefore only scale the weights.
    kernel_width
        Width of the exponential kernel that weighs a subset by its cosine distance from the whole text. The original
        takes 0.25, where a subset with half of the tokens has the weight 0.50 and one with a fifth 0.09. Captum and
        this package take 1.0, where they have 0.96 and 0.86, so that all subsets count.
    baseline
        As for :func:`leave_one_out`.
    feature
        As for :func:`leave_one_out`.
    seed
        Seed that makes the samples reproducible.

    Returns
    -------
    Method
        It needs scikit-learn, ``n_samples`` forward passes, and one more. Few features need fewer passes, since each
        subset is evaluated only once.

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
    alpha, kernel_width = real(alpha, "alpha", "0.01"), real(kernel_width, "kernel_width", "0.25")
    n_samples, seed = whole(n_samples, "n_samples"), whole(seed, "seed", least=0)

    def build(forward_func: Any) -> Attribution:
        return Lime(
            forward_func,
            interpretable_model=StandardizedLasso(alpha=alpha),
            similarity_func=get_exp_kernel_similarity_function("cosine", kernel_width=kernel_width),
        )

    return removal(
        "lime",
        build,
        {"n_samples": n_samples, "alpha": alpha, "kernel_width": kernel_width},
        baseline,
        feature,
        options={"n_samples": n_samples},
        seed=seed,
        check=functools.partial(_check_samples, "lime", n_samples),
        passes=lambda features: (n_samples + 1, 0),
        citation="Ribeiro et al. 2016, arXiv:1602.04938",
    )


def _require_sklearn(name: str) -> None:
    if importlib.util.find_spec("sklearn") is None:
        raise SaliencyError(
            f"{name} needs scikit-learn, which Captum uses to fit the surrogate: pip install scikit-learn, or install "
            "this package with the extra 'surrogate'."
        )


def _check_samples(name: str, n_samples: int, features: int) -> None:
    """Warn if there are fewer than two subsets for each weight of the linear model."""
    if n_samples < 2 * features:
        warn(
            f"{name}: n_samples={n_samples} subsets are too few for {features} features; another seed would change "
            f"the scores. Pass n_samples={2 * features} or more, or larger features (feature='word' or 'sentence')."
        )


class StandardizedLasso(SkLearnLasso):  # type: ignore[misc]
    """Captum's Lasso on standardised scores. Its penalty is absolute, so it would set small scores to zero."""

    def fit(self, train_data: DataLoader[Any], **arguments: Any) -> Any:
        """Fit the scores at mean 0 and deviation 1, and scale the weights back."""
        presence, scores, weights = (torch.cat(parts) for parts in zip(*train_data, strict=True))
        exact, share = scores.double(), weights.double() / weights.double().sum()
        mean = (share * exact).sum()
        deviation = (share * (exact - mean) ** 2).sum().sqrt()
        # Captum passes scores in float32, so a deviation within that rounding does not count.
        if not deviation > 4 * torch.finfo(torch.float32).eps * exact.abs().max():
            warn(
                "lime: the score is the same whatever is removed, so all attributions of this target are zero."
            )
            deviation = torch.zeros_like(deviation)
        scaled = (exact - mean) / deviation if deviation > 0 else torch.zeros_like(exact)
        rows = TensorDataset(presence, scaled.float(), weights)
        with warnings.catch_warnings():
            if not deviation > 0:  # some releases of scikit-learn warn that zeros do not converge
                warnings.simplefilter("ignore")
            report = super().fit(DataLoader(rows, batch_size=len(scores)), **arguments)
        with torch.no_grad():
            self.linear.weight.mul_(deviation.to(self.linear.weight))
            if self.linear.bias is not None:
                self.linear.bias.mul_(deviation.to(self.linear.bias)).add_(mean.to(self.linear.bias))
        return report

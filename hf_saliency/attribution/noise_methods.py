"""Methods that repeat another one around the text, with noise: SmoothGrad and its squares and variances."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from captum.attr import NoiseTunnel

from hf_saliency.attribution.gradient_methods import saliency
from hf_saliency.attribution.method import Call, Method, positive
from hf_saliency.errors import SaliencyError


def smooth_grad(
    of: Method | None = None, *, n_samples: int = 20, noise_level: float = 0.2, seed: int = 0
) -> Method:
    """SmoothGrad: a method's mean over copies of the text with Gaussian noise on the embeddings.

    Parameters
    ----------
    of
        The method to smooth; by default the gradient, whose mean is reduced by the 2-norm.
    n_samples
        How many copies.
    noise_level
        Standard deviation of the noise, as a fraction of that of the text's embeddings (all tokens and
        dimensions taken together). The article takes it of the range, which outliers among the dimensions of
        an embedding make too large.
    seed
        Makes the samples repeat.

    Returns
    -------
    Method
        ``n_samples`` times the passes of ``of``, and one forward pass for the prediction.

    Raises
    ------
    SaliencyError
        If ``of`` is no method, or a number is out of its range.

    References
    ----------
    Smilkov et al., SmoothGrad: removing noise by adding noise, 2017, arXiv:1706.03825.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.smooth_grad(hs.input_x_gradient(), n_samples=5))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    return _noisy("smooth_grad", "smoothgrad", of, n_samples, noise_level, seed)


def smooth_grad_squared(
    of: Method | None = None, *, n_samples: int = 20, noise_level: float = 0.2, seed: int = 0
) -> Method:
    """SmoothGrad-squared: as :func:`smooth_grad`, the mean of squares. Unsigned; summed over the width.

    Parameters
    ----------
    of
        As for :func:`smooth_grad`.
    n_samples
        As for :func:`smooth_grad`.
    noise_level
        As for :func:`smooth_grad`.
    seed
        As for :func:`smooth_grad`.

    Returns
    -------
    Method

    Raises
    ------
    SaliencyError
        As for :func:`smooth_grad`.

    References
    ----------
    Hooker et al., A benchmark for interpretability methods, 2019, arXiv:1806.10758.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.smooth_grad_squared(n_samples=5))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    return _noisy("smooth_grad_squared", "smoothgrad_sq", of, n_samples, noise_level, seed)


def var_grad(
    of: Method | None = None, *, n_samples: int = 20, noise_level: float = 0.2, seed: int = 0
) -> Method:
    """VarGrad: as :func:`smooth_grad`, the variance. Unsigned; summed over the width.

    Parameters
    ----------
    of
        As for :func:`smooth_grad`.
    n_samples
        As for :func:`smooth_grad`; at least 2.
    noise_level
        As for :func:`smooth_grad`.
    seed
        As for :func:`smooth_grad`.

    Returns
    -------
    Method

    Raises
    ------
    SaliencyError
        As for :func:`smooth_grad`, and for one sample.

    References
    ----------
    Adebayo et al., Local explanation methods for deep neural networks lack sensitivity to parameter values,
    2018, arXiv:1810.03307.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.var_grad())
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    if n_samples == 1:
        raise SaliencyError("n_samples=1 has no variance: give 2 or more.")
    return _noisy("var_grad", "vargrad", of, n_samples, noise_level, seed)


_CITATIONS = {
    "smooth_grad": "Smilkov et al. 2017, arXiv:1706.03825",
    "smooth_grad_squared": "Hooker et al. 2019, arXiv:1806.10758",
    "var_grad": "Adebayo et al. 2018, arXiv:1810.03307",
}


def _noisy(name: str, kind: str, of: Method | None, n_samples: int, noise_level: float, seed: int) -> Method:
    if of is not None and not isinstance(of, Method):
        raise SaliencyError(f"of={of!r}: give a method such as {name}(hs.input_x_gradient()).")
    if not isinstance(noise_level, (int, float)) or not 0 < noise_level < math.inf:
        raise SaliencyError(f"noise_level={noise_level!r}: give a positive number, such as 0.2.")
    positive(n_samples, "n_samples")
    inner = saliency("norm", absolute=False) if of is None else of
    smooth = kind == "smoothgrad"

    def call(call: Call) -> Mapping[str, Any]:
        # Captum wants a float; one row a call, without padding, so that this is the text's own deviation.
        stdevs = tuple(float(noise_level * embeds.detach().float().std()) for embeds in call.embeds)
        return {
            "nt_type": kind,
            "nt_samples": n_samples,
            "stdevs": stdevs if len(stdevs) > 1 else stdevs[0],
            **inner.call(_copied(call, n_samples)),
        }

    # Squares have no convergence delta, whose passes the count of other methods contains.
    each = inner.passes if smooth or inner.at_input else None
    return Method(
        name,
        lambda score, tables: (NoiseTunnel if smooth else _Spread)(inner.build(score, tables)),
        {
            "of": inner.name,
            **{f"of_{key}": value for key, value in inner.arguments.items()},
            "n_samples": n_samples,
            "noise_level": noise_level,
            "seed": seed,
        },
        call=call,
        reduction=inner.reduction if smooth or inner.reduction is None else "total",
        signed=inner.signed and smooth,
        seed=seed,
        unit=inner.unit if smooth else f"({inner.unit}) squared",
        passes=each and (lambda tokens: _times(n_samples, *each(tokens), at_input=inner.at_input)),
        citation=_CITATIONS[name],
    )


class _Spread(NoiseTunnel):  # type: ignore[misc]
    """A NoiseTunnel of squares or variances, which do not add up to a difference of scores."""

    def has_convergence_delta(self) -> bool:
        return False


def _copied(call: Call, copies: int) -> Call:
    """The call as a method sees it whose batch holds so many copies of each row."""
    return dataclasses.replace(
        # Sampling methods run one row a call, so that every row is a copy of the first.
        call,
        embeds=tuple(one[:1].expand(copies * len(one), *one.shape[1:]) for one in call.embeds),
    )


def _times(copies: int, forward: int, backward: int, at_input: bool) -> tuple[int, int]:
    own = forward if at_input else forward - 1  # without the prediction's
    return 1 + copies * own, copies * backward

"""Methods that read the gradient at the text itself, or around it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from captum.attr import Attribution, InputXGradient, NoiseTunnel, Saliency

from hf_saliency.attribution.gradient_norm import GradientNorm
from hf_saliency.attribution.method import Call, Method, keeps_sign, named_method
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import Reduction, SaliencyError, check_reduction, real, whole


@named_method
def gradient_norm(space: Literal["one_hot", "embedding"] = "one_hot", order: int | float = 2) -> Method:
    """Connectivity: the norm of the score's gradient with respect to each token, ``|| dy / dx_t ||``. Unsigned.

    Parameters
    ----------
    space
        ``"one_hot"`` for the gradient in the token's one-hot vector, as in the article, or ``"embedding"`` for the
        gradient in its embedding.
    order
        Order of the norm: 1, 2 or infinity.

    Returns
    -------
    Method
        It needs one forward and one backward pass.

    Raises
    ------
    SaliencyError
        For an unknown space or order.

    References
    ----------
    Madsen, Visualizing memorization in RNNs, Distill, 2019, doi:10.23915/distill.00016.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.gradient_norm(order=1))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    GradientNorm.check(space, order)

    def build(score: Any, tables: Sequence[Vocabulary]) -> Attribution:
        return GradientNorm(score, tuple(tables), space=space, order=order)

    return Method(
        "gradient_norm",
        build,
        {"space": space, "order": "inf" if math.isinf(order) else order},
        reduction=None,
        signed=False,
        at_input=True,
        unit="score per one-hot" if space == "one_hot" else "score per embedding",
        passes=lambda tokens: (1, 1),
        citation="Madsen 2019, doi:10.23915/distill.00016",
    )


@named_method
def saliency(reduction: Reduction = "norm", *, absolute: bool = True) -> Method:
    """The gradient with respect to the embeddings, reduced to one number per token. Unsigned by default.

    Parameters
    ----------
    reduction
        Reduction over the width: ``"norm"`` (2-norm), ``"norm_1"``, ``"mean"``, ``"sum"``, ``"max"`` (the number of
        largest magnitude, with its sign) or ``"absmax"``. Tools differ in this.
    absolute
        Whether to reduce the gradient's absolute values, as Simonyan et al. and Captum do. False reduces the
        gradient itself. Its mean or sum is signed, but it is zero up to rounding in models such as BERT, whose
        embeddings go through a layer norm.

    Returns
    -------
    Method
        It needs one forward and one backward pass.

    Raises
    ------
    SaliencyError
        For an unknown reduction.

    References
    ----------
    Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks, 2013, arXiv:1312.6034.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.saliency("norm_1"))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    reduction = check_reduction(reduction)
    return Method(
        "saliency",
        lambda score, tables: Saliency(score),
        {"reduction": reduction, **({} if absolute else {"absolute": False})},
        call=lambda call: {"abs": absolute},
        reduction=reduction,
        signed=not absolute and keeps_sign(reduction),
        at_input=True,
        unit="score per embedding",
        passes=lambda tokens: (1, 1),
        citation="Simonyan et al. 2013, arXiv:1312.6034",
    )


@named_method
def input_x_gradient(reduction: Reduction = "sum") -> Method:
    """The gradient times the embedding: each token's part of the score's first-order expansion. Signed.

    As evidence for and against a prediction it is hardly better than chance on many transformers; :func:`attn_lrp`
    costs the same.

    Parameters
    ----------
    reduction
        Reduction over the width. A norm is unsigned.

    Returns
    -------
    Method
        It needs one forward and one backward pass.

    Raises
    ------
    SaliencyError
        For an unknown reduction.

    References
    ----------
    Shrikumar et al., Not just a black box, 2016, arXiv:1605.01713.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.input_x_gradient())
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    reduction = check_reduction(reduction)
    return Method(
        "input_x_gradient",
        lambda score, tables: InputXGradient(score),
        {"reduction": reduction},
        reduction=reduction,
        signed=keeps_sign(reduction),
        at_input=True,
        passes=lambda tokens: (1, 1),
        citation="Shrikumar et al. 2016, arXiv:1605.01713",
    )


@named_method
def smooth_grad(
    of: Method | None = None, *, n_samples: int = 20, noise_level: float = 0.2, seed: int = 0
) -> Method:
    """SmoothGrad: the mean of a method over copies of the text with Gaussian noise on the embeddings.

    Parameters
    ----------
    of
        The method to smooth. By default the gradient, reduced by the 2-norm after averaging.
    n_samples
        Number of copies.
    noise_level
        Standard deviation of the noise, as a fraction of that of the text's embeddings (over all tokens and
        dimensions). The article takes a fraction of their range, which is too large because of outliers among the
        dimensions of an embedding.
    seed
        Seed that makes the samples reproducible.

    Returns
    -------
    Method
        It needs ``n_samples`` times the passes of ``of``, and one forward pass for the prediction.

    Raises
    ------
    SaliencyError
        If ``of`` is not a method, or a number is out of its range.

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


@named_method
def smooth_grad_squared(
    of: Method | None = None, *, n_samples: int = 20, noise_level: float = 0.2, seed: int = 0
) -> Method:
    """SmoothGrad-squared: :func:`smooth_grad` with the mean of squares. Unsigned; summed over the width.

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


@named_method
def var_grad(
    of: Method | None = None, *, n_samples: int = 20, noise_level: float = 0.2, seed: int = 0
) -> Method:
    """VarGrad: :func:`smooth_grad` with the variance instead of the mean. Unsigned; summed over the width.

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
    if whole(n_samples, "n_samples") == 1:
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
    noise_level = real(noise_level, "noise_level", "0.2")
    n_samples, seed = whole(n_samples, "n_samples"), whole(seed, "seed", least=0)
    inner = saliency("norm", absolute=False) if of is None else of
    smooth = kind == "smoothgrad"

    def call(call: Call) -> Mapping[str, Any]:
        # Captum takes a float. Each call has one row without padding, so this is the deviation of the text itself.
        stdevs = tuple(float(noise_level * embeds.detach().float().std()) for embeds in call.embeds)
        return {
            "nt_type": kind,
            "nt_samples": n_samples,
            "stdevs": stdevs if len(stdevs) > 1 else stdevs[0],
            **inner.call(_copied(call, n_samples)),
        }

    # Squares have no convergence delta, so the passes that other methods count for it are not made.
    inner_passes = inner.passes if smooth or inner.at_input else None
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
        reduction=inner.reduction if smooth or inner.reduction is None else "sum",
        signed=inner.signed and smooth,
        seed=seed,
        unit=inner.unit if smooth else f"({inner.unit}) squared",
        passes=inner_passes
        and (lambda tokens: _times(n_samples, *inner_passes(tokens), at_input=inner.at_input)),
        citation=_CITATIONS[name],
    )


class _Spread(NoiseTunnel):  # type: ignore[misc]
    """NoiseTunnel of squares or variances, which do not add up to a difference of scores."""

    def has_convergence_delta(self) -> bool:
        return False


def _copied(call: Call, copies: int) -> Call:
    """Return the call that the inner method would see for a batch with ``copies`` copies of each row."""
    return dataclasses.replace(
        # Sampling methods run one row per call, so every row is a copy of the first.
        call,
        embeds=tuple(stream[:1].expand(copies * len(stream), *stream.shape[1:]) for stream in call.embeds),
    )


def _times(copies: int, forward: int, backward: int, at_input: bool) -> tuple[int, int]:
    forwards = forward if at_input else forward - 1  # without that of the prediction
    return 1 + copies * forwards, copies * backward

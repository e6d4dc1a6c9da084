"""Methods that read the gradient at the text itself, or around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from captum.attr import Attribution, InputXGradient, Saliency

from hf_saliency.attribution.gradient_norm import GradientNorm
from hf_saliency.attribution.method import Method, Reduction, keeps_sign
from hf_saliency.attribution.vocabulary import Vocabulary


def gradient_norm(space: Literal["one_hot", "embedding"] = "one_hot", order: int | float = 2) -> Method:
    """Connectivity: the norm of the score's gradient in each token, ``|| dy / dx_t ||``. Unsigned.

    Parameters
    ----------
    space
        ``"one_hot"``, the gradient in the token's one-hot vector as in the article, or ``"embedding"``, the
        gradient in its embedding.
    order
        1, 2 or infinity.

    Returns
    -------
    Method
        One forward and one backward pass.

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


def saliency(reduction: Reduction = "norm", *, absolute: bool = True) -> Method:
    """The gradient in each embedding dimension, reduced to one number a token. Unsigned unless asked otherwise.

    Parameters
    ----------
    reduction
        ``"norm"`` (2-norm), ``"norm_1"``, ``"mean"``, ``"max"`` or ``"total"`` over the width; tools differ in
        this.
    absolute
        Whether the gradient's absolute values are reduced, as Simonyan et al. and Captum have it; False for
        the gradient itself, whose mean or total is signed, and zero but for rounding in a model whose
        embeddings go through a layer norm, as BERT's do.

    Returns
    -------
    Method
        One forward and one backward pass.

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


def input_x_gradient(reduction: Reduction = "total") -> Method:
    """The gradient times the embedding: each token's part of the score's first-order expansion. Signed.

    Parameters
    ----------
    reduction
        Over the width; ``"total"`` by default. A norm is unsigned.

    Returns
    -------
    Method
        One forward and one backward pass.

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

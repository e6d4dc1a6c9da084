"""Methods: a value that names an attribution, says how Captum builds it for a score, and how to read its result."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from captum.attr import LRP, Attribution, InputXGradient, LayerAttribution, Saliency

from hf_saliency.attribution.gradient_norm import GradientNorm
from hf_saliency.attribution.reductions import REDUCTIONS
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import SaliencyError

Build = Callable[[Any, Sequence[Vocabulary]], Attribution]


@dataclass(frozen=True)
class Method:
    """An attribution method as a value: what to swap to compare methods.

    Parameters
    ----------
    name
        The name in its literature, in lower case.
    build
        From the score (a module that Captum can call) and one vocabulary table a stream to the Captum object.
    arguments
        What the method was given, as JSON values; stored with the result.
    reduction
        A name in ``hf_saliency.attribution.reductions``, applied over the width; None where the attribution is
        one number a token already.
    signed
        Whether the sign of the result has a meaning.
    at_input
        Whether the attribution evaluates the score at the input itself, and there first: then the predictions
        come out of the same forward pass.
    citation
        Where the method was published.
    """

    name: str
    build: Build
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reduction: str | None = "total"
    signed: bool = True
    at_input: bool = False
    citation: str = ""

    def __post_init__(self) -> None:
        if self.reduction is not None and self.reduction not in REDUCTIONS:
            raise SaliencyError(f"reduction={self.reduction!r}: choose one of {', '.join(REDUCTIONS)}.")


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

    References
    ----------
    Madsen, Visualizing memorization in RNNs, Distill, 2019, doi:10.23915/distill.00016.
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
        citation="Madsen 2019, doi:10.23915/distill.00016",
    )


def saliency(reduction: str = "norm") -> Method:
    """The absolute gradient in each embedding dimension, reduced to one number a token. Unsigned.

    Parameters
    ----------
    reduction
        ``"norm"``, ``"norm_1"``, ``"mean"``, ``"max"`` or ``"total"`` over the width; tools differ in this.

    Returns
    -------
    Method
        One forward and one backward pass.

    References
    ----------
    Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks, 2013, arXiv:1312.6034.
    """
    return Method(
        "saliency",
        lambda score, tables: Saliency(score),
        {"reduction": reduction},
        reduction=reduction,
        signed=False,
        at_input=True,
        citation="Simonyan et al. 2013, arXiv:1312.6034",
    )


def input_x_gradient(reduction: str = "total") -> Method:
    """The gradient times the embedding: each token's part of the score's first-order expansion. Signed.

    Parameters
    ----------
    reduction
        Over the width; ``"total"`` by default.

    Returns
    -------
    Method
        One forward and one backward pass.

    References
    ----------
    Shrikumar et al., Not just a black box, 2016, arXiv:1605.01713.
    """
    return Method(
        "input_x_gradient",
        lambda score, tables: InputXGradient(score),
        {"reduction": reduction},
        reduction=reduction,
        signed=reduction in ("total", "mean", "max"),
        at_input=True,
        citation="Shrikumar et al. 2016, arXiv:1605.01713",
    )


METHODS: dict[str, Callable[..., Method]] = {
    "gradient_norm": gradient_norm,
    "saliency": saliency,
    "input_x_gradient": input_x_gradient,
}


def as_method(given: Any) -> Method:
    """A method from a :class:`Method`, a Captum class, a callable ``score -> Attribution``, or None.

    Parameters
    ----------
    given
        None for the gradient norm.

    Returns
    -------
    Method

    Raises
    ------
    SaliencyError
        For anything else.
    """
    if given is None:
        return gradient_norm()
    if isinstance(given, Method):
        return given
    if inspect.isclass(given) and issubclass(given, LRP):
        raise SaliencyError(
            "LRP has no rule for embeddings, attention or layer norms: choose another method."
        )
    if inspect.isclass(given) and issubclass(given, Attribution):
        captum_class: Any = given
        if issubclass(given, LayerAttribution):
            return Method(given.__name__, lambda score, tables: captum_class(score, score.sites[0]))
        return Method(given.__name__, lambda score, tables: captum_class(score))
    if callable(given) and not isinstance(given, Attribution) and not inspect.isclass(given):
        if given in METHODS.values():
            return as_method(given())
        return Method(getattr(given, "__name__", type(given).__name__), lambda score, tables: given(score))
    raise SaliencyError(
        f"method={given!r}: give a method such as hs.gradient_norm(), a Captum class such as "
        "captum.attr.IntegratedGradients, or a function from the score to a Captum attribution."
    )

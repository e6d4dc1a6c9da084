"""TokenNorm: what the gradient norms of embeddings and of layers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
from captum.attr import GradientAttribution
from jaxtyping import Float, Shaped
from torch import Tensor

from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import SaliencyError

# What torch says, and what the user can do about it.
_ADVICE = {
    "nference tensor": (
        "the model or an argument was made under torch.inference_mode(), and autograd cannot use it: make it "
        "outside of that mode."
    ),
    "not have been used in the graph": (
        "the score does not depend on some of the embeddings: explain only those that it uses, or, with "
        "LayerGradientNorm, pass grad_kwargs={'allow_unused': True} for zeros."
    ),
    "does not require grad": (
        "the score does not depend on the embeddings: forward_func has to compute it from them, without "
        "detach() and no_grad()."
    ),
}


class TokenNorm(GradientAttribution):  # type: ignore[misc]
    """The norm of each token's gradient, and what Captum may ask of any attribution.

    Parameters
    ----------
    forward_func
        From tensors to scores (batch, ...).
    space
        As in ``GradientNorm``.
    order
        As in ``GradientNorm``.
    keepdim
        As in ``GradientNorm``.

    Raises
    ------
    SaliencyError
        If there is no such space or order.
    """

    def __init__(
        self, forward_func: Callable[..., Tensor], space: str, order: int | float, keepdim: bool
    ) -> None:
        GradientAttribution.__init__(self, forward_func)
        self.check(space, order)
        self.space, self.order, self.keepdim = space, order, keepdim

    @staticmethod
    def check(space: str, order: int | float) -> None:
        """Refuse a space or an order that does not exist.

        Parameters
        ----------
        space
            "one_hot" or "embedding".
        order
            1, 2 or infinity.

        Raises
        ------
        SaliencyError
            If they are anything else.
        """
        if space not in ("one_hot", "embedding"):
            raise SaliencyError(
                f"space={space!r}: give 'one_hot', gradients in the token's one-hot vector, or 'embedding'."
            )
        if order not in (1, 2, math.inf):
            raise SaliencyError(f"order={order!r}: give the order of the norm, 1, 2 or math.inf.")

    def norm(
        self, gradient: Float[Tensor, "batch *tokens width"], vocabulary: Vocabulary | None
    ) -> Float[Tensor, "batch ..."]:
        """The norm of each token's gradient, in at least float32; without a vocabulary in embedding space."""
        gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
        if vocabulary is None:
            norm: Tensor = torch.linalg.vector_norm(gradient, self.order, dim=-1)
        else:
            norm = vocabulary.norm(gradient, self.order)
        return norm[..., None] if self.keepdim else norm

    def compute_convergence_delta(self, *args: object, **kwargs: object) -> NoReturn:
        """Refused: norms do not add up to a difference of scores, so there is nothing to converge to."""
        raise NotImplementedError(
            f"{type(self).__name__} has no convergence delta: norms do not add up to a difference of scores; "
            "captum.attr.IntegratedGradients has one."
        )

    def attribute_future(self) -> NoReturn:
        """Refused: gradients are computed at once."""
        raise NotImplementedError(f"{type(self).__name__} returns no futures: call attribute().")


@contextmanager
def autograd() -> Iterator[None]:
    """Gradients can be computed here, whatever the caller has switched off; torch's refusals get advice."""
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    except RuntimeError as error:
        for refusal, advice in _ADVICE.items():
            if refusal in str(error):
                raise SaliencyError(advice) from error
        raise


def in_float16(tensor: Shaped[Tensor, "*shape"]) -> bool:
    """Whether gradients of operations on this tensor pass through float16, by its dtype or by autocast."""
    kind = tensor.device.type
    autocast = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) is torch.float16
    return autocast or tensor.dtype is torch.float16

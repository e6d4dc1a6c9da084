"""What the gradient norms accept as inputs."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor

from hf_saliency.errors import SaliencyError


def embeds_of(inputs: object) -> tuple[Float[Tensor, "batch ..."], ...]:
    """The streams given to ``GradientNorm``; refuses what is no float tensor (batch, tokens, width) or tuple."""
    streams = _tensors(inputs, "embeddings (batch, tokens, width)")
    for embeds in streams:
        if not embeds.is_floating_point():
            raise SaliencyError(
                f"inputs of dtype {embeds.dtype} are no embeddings: for token ids use "
                "LayerGradientNorm(forward_func, embedding).attribute(ids)."
            )
        if embeds.dim() < 3:
            raise SaliencyError(
                f"inputs of shape {tuple(embeds.shape)} are no embeddings (batch, tokens, width): add what "
                "lacks, such as embeds[None] for a batch of one."
            )
    return streams


def ids_of(inputs: object, attribute_to_layer_input: bool) -> tuple[Shaped[Tensor, "batch ..."], ...]:
    """The tensors given to ``LayerGradientNorm``; refuses them if none holds integers, as token ids are."""
    if attribute_to_layer_input:
        raise SaliencyError(
            "attribute_to_layer_input=True asks for gradients in token ids, and there are none: leave it out for "
            "gradients in the tokens' one-hot vectors or embeddings."
        )
    tensors = _tensors(inputs, "token ids (batch, tokens)")
    if all(tensor.is_floating_point() for tensor in tensors):
        raise SaliencyError(
            f"inputs of dtype {tensors[0].dtype} are no token ids: for embeddings use "
            "GradientNorm(forward_func, table).attribute(embeds)."
        )
    return tensors


def usable(arguments: Any) -> Any:
    """Arguments with copies of the tensors that were made under inference mode, which autograd cannot use."""
    if isinstance(arguments, tuple):
        return tuple(map(usable, arguments))
    return arguments.clone() if isinstance(arguments, Tensor) and arguments.is_inference() else arguments


def _tensors(inputs: object, accepted: str) -> tuple[Tensor, ...]:
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    other = [type(one).__name__ for one in given if not isinstance(one, Tensor)]
    if other or not given:
        found = f"a {other[0]}" if other else "an empty tuple"
        raise SaliencyError(f"inputs are or hold {found}: give {accepted}, or a tuple of them.")
    return given

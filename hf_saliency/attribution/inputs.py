"""What the attributions of this package accept as inputs and baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
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


def streams_of(inputs: object) -> tuple[Float[Tensor, "batch ..."], ...]:
    """As ``embeds_of``, as values that autograd can use and that are cut off from any graph."""
    return tuple(usable(stream).detach() for stream in embeds_of(inputs))


def baselines_of(
    baselines: object, streams: Sequence[Float[Tensor, "batch ..."]]
) -> tuple[Float[Tensor, "batch ..."], ...]:
    """Baselines in any of Captum's forms as tensors of the streams' shapes: None is 0, one row is for all."""
    given = baselines if isinstance(baselines, tuple) else (baselines,)
    if baselines is None:
        given = (0,) * len(streams)
    if len(given) != len(streams):
        raise SaliencyError(
            f"{len(given)} baseline(s) for {len(streams)} tensor(s) of embeddings: attribute((embeds, embeds), "
            "(baseline, baseline)) has one each."
        )
    return tuple(_baseline_of(one, stream) for one, stream in zip(given, streams, strict=True))


def check_internal_batch_size(size: object) -> None:
    """Refuse what is no number of rows."""
    if size is not None and (type(size) is not int or size < 1):
        raise SaliencyError(
            f"internal_batch_size={size!r}: give how many rows a call may have, 1 or more, or None."
        )


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


def _baseline_of(baseline: object, stream: Tensor) -> Tensor:
    if isinstance(baseline, (int, float)):
        return torch.full_like(stream, baseline)
    if isinstance(baseline, Tensor) and baseline.shape in (stream.shape, (1, *stream.shape[1:])):
        moved: Tensor = usable(baseline).detach().to(stream)
        return moved.expand_as(stream)
    shape = f"of shape {tuple(baseline.shape)}" if isinstance(baseline, Tensor) else ""
    raise SaliencyError(
        f"a baseline is {shape or f'a {type(baseline).__name__}'}, but the embeddings are {tuple(stream.shape)}: give "
        "a number, a tensor like the embeddings, such as torch.zeros_like(embeds), or one row of it for all, such as "
        "baseline[:1]."
    )


def _tensors(inputs: object, accepted: str) -> tuple[Tensor, ...]:
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    other = [type(one).__name__ for one in given if not isinstance(one, Tensor)]
    if other or not given:
        found = f"a {other[0]}" if other else "an empty tuple"
        raise SaliencyError(f"inputs are or hold {found}: give {accepted}, or a tuple of them.")
    return given

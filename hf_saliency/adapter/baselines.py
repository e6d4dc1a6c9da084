"""Baselines: what stands in the place of a token that is taken away, as embeddings."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.adapter.embedding import Stream, check_ids
from hf_saliency.errors import SaliencyError

_ROWS = 4096  # of the embedding table at a time


def mask_embedding(
    embedding: nn.Module, tokenizer: Any, ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, " width"]:
    """The embedding of the mask token: the default for masked language models, which have learned to read it.

    Parameters
    ----------
    embedding
        The module that embeds the tokens.
    tokenizer
        The tokenizer that belongs to it.
    ids
        What is being explained; any function of these three is a baseline if its result can be broadcast to
        (batch, tokens, width).

    Returns
    -------
    Float[Tensor, " width"]

    Raises
    ------
    SaliencyError
        If the tokenizer has no mask token.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(baseline=hs.mask_embedding))
    >>> heat.arguments["baseline"]
    'mask_embedding'
    """
    return _token(embedding, tokenizer, ids, "mask")


def pad_embedding(
    embedding: nn.Module, tokenizer: Any, ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, " width"]:
    """The embedding of the padding token.

    Parameters
    ----------
    embedding
        As for :func:`mask_embedding`.
    tokenizer
        As for :func:`mask_embedding`.
    ids
        As for :func:`mask_embedding`.

    Returns
    -------
    Float[Tensor, " width"]

    Raises
    ------
    SaliencyError
        If the tokenizer has no padding token.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(baseline=hs.pad_embedding))
    >>> heat.arguments["baseline"]
    'pad_embedding'
    """
    return _token(embedding, tokenizer, ids, "pad")


@torch.no_grad()
def mean_embedding(
    embedding: nn.Module, tokenizer: Any, ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, " width"]:
    """The mean of all embeddings of the vocabulary: the default for models that know no mask token.

    Parameters
    ----------
    embedding
        As for :func:`mask_embedding`.
    tokenizer
        As for :func:`mask_embedding`.
    ids
        As for :func:`mask_embedding`.

    Returns
    -------
    Float[Tensor, " width"]

    Raises
    ------
    SaliencyError
        If the module is no ``nn.Embedding``.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(baseline=hs.mean_embedding))
    >>> heat.arguments["baseline"]
    'mean_embedding'
    """
    if not isinstance(embedding, nn.Embedding):
        raise SaliencyError(f"{type(embedding).__name__} has no vocabulary to average over.")
    every = torch.arange(embedding.num_embeddings, device=ids.device)
    wide = torch.float64 if ids.device.type in ("cpu", "cuda") else torch.float32
    parts = [every[start : start + _ROWS] for start in range(0, len(every), _ROWS)]
    total = torch.stack([embedding(part).to(wide).sum(dim=0) for part in parts]).sum(dim=0)
    return total / len(every)


def zero_embedding(
    embedding: nn.Module, tokenizer: Any, ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, " width"]:
    """Zeros. Layer norms turn small vectors into large ones, so that on many models completeness is far off.

    Parameters
    ----------
    embedding
        As for :func:`mask_embedding`.
    tokenizer
        As for :func:`mask_embedding`.
    ids
        As for :func:`mask_embedding`.

    Returns
    -------
    Float[Tensor, " width"]

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(baseline=hs.zero_embedding))
    >>> heat.arguments["baseline"]
    'zero_embedding'
    """
    return torch.zeros_like(_embedded(embedding, ids[0, :1]))


@torch.no_grad()
def _embedded(embedding: nn.Module, ids: Int[Tensor, " n"]) -> Float[Tensor, " width"]:
    vector: Tensor = embedding(ids)[0]
    return vector


def _token(embedding: nn.Module, tokenizer: Any, ids: Tensor, name: str) -> Float[Tensor, " width"]:
    index = getattr(tokenizer, f"{name}_token_id", None)
    if index is None:
        raise SaliencyError(
            f"{type(tokenizer).__name__} has no {name} token: choose another baseline, such as "
            "baseline=hs.mean_embedding."
        )
    if isinstance(embedding, nn.Embedding):
        check_ids(Stream(embedding), [index], [getattr(tokenizer, f"{name}_token")])
    return _embedded(embedding, torch.tensor([index], device=ids.device))

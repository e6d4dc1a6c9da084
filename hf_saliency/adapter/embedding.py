"""Streams: through which embedding module, in which of its calls, a text enters a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.errors import SaliencyError


@dataclass(frozen=True)
class Stream:
    """One way into the model: the embedding module, which call of it in a forward pass, and of which text."""

    module: nn.Module
    call: int = 0
    text: int = 0

    @property
    def device(self) -> torch.device:
        """Where token ids have to be."""
        weight = next(self.module.parameters())
        hook = getattr(self.module, "_hf_hook", None)  # accelerate keeps offloaded weights on "meta"
        executes_on = getattr(hook, "execution_device", None)
        if weight.is_meta and executes_on is not None:
            return torch.device(executes_on)
        return weight.device

    def embed(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """The embeddings of some tokens, as a value without a graph."""
        with torch.no_grad():
            embeds: Tensor = self.module(ids)
        return embeds.detach()


def streams(model: nn.Module) -> tuple[Stream, ...]:
    """The streams of a model by the general rule: its one input embedding, called once.

    Parameters
    ----------
    model
        A model with ``get_input_embeddings()``, as every model of transformers has it.

    Returns
    -------
    tuple of Stream

    Raises
    ------
    SaliencyError
        If the model has no embedding of token ids.
    """
    name = type(model).__name__
    try:
        module = model.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError) as error:
        raise SaliencyError(
            f"{name} has no get_input_embeddings(): pass a text model of transformers, such as "
            "AutoModelForMaskedLM.from_pretrained(name)."
        ) from error
    if not isinstance(module, nn.Embedding):
        raise SaliencyError(
            f"{name} has no text embedding: get_input_embeddings() gives {type(module).__name__}, and one-hot "
            "gradients exist for an nn.Embedding over token ids only."
        )
    return (Stream(module),)


def check_ids(stream: Stream, ids: Sequence[int], pieces: Sequence[str]) -> None:
    """Refuse ids that the embedding has no row for, before it fails on them."""
    assert isinstance(stream.module, nn.Embedding)
    rows = stream.module.num_embeddings
    for i, piece in zip(ids, pieces, strict=True):
        if not 0 <= i < rows:
            raise SaliencyError(
                f"the tokenizer gives the token {piece!r} the id {i}, but the model's embedding has {rows} rows: "
                "pass the tokenizer that belongs to the model, or call "
                "model.resize_token_embeddings(len(tokenizer)) after adding tokens."
            )

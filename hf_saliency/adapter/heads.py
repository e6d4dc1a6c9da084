"""Heads: handed only what is read of the hidden states, and read where they scored every token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from hf_saliency.adapter import outputs


def output_embeddings(model: nn.Module) -> nn.Module | None:
    """What makes logits of hidden states, if the model names it, and no hook of a user's expects all of them."""
    get = getattr(model, "get_output_embeddings", None)
    head = get() if callable(get) else None
    if not isinstance(head, nn.Module) or head._forward_hooks or head._forward_pre_hooks:
        return None
    return head


@contextmanager
def gathered(
    head: nn.Module | None,
    text: Int[Tensor, " rows"],
    position: Int[Tensor, "rows reads"],
    shape: torch.Size,
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Hand the head the hidden states that are read alone; yields all of them and these, each time it could.

    Parameters
    ----------
    head
        What makes logits of hidden states; None for none.
    text
        The row of the hidden states that each row reads.
    position
        At which tokens.
    shape
        (batch, tokens) of the hidden states.

    Yields
    ------
    list[tuple[Tensor, Tensor]]
    """
    fired: list[tuple[Tensor, Tensor]] = []
    if head is None:
        yield fired
        return

    def gather(module: nn.Module, arguments: Any) -> Any:
        hidden = arguments[0] if arguments else None
        if not (isinstance(hidden, Tensor) and hidden.dim() == 3 and hidden.shape[:2] == shape):
            return None
        read = hidden[text.to(hidden.device)[:, None], position.to(hidden.device)]
        fired.append((hidden, read))
        return (read, *arguments[1:])

    handle = head.register_forward_pre_hook(gather)
    try:
        yield fired
    finally:
        handle.remove()


def last_token_logits(model: nn.Module, inputs: Mapping[str, Any], labels: int) -> Any:
    """What a classifier that scores each token gives at the last one that is no padding.

    Such a classifier (GPT-2, Llama) looks for padding by its id, and if it knows none takes the last token of every
    row, or refuses batches; its head has scored every token by then. One that goes on from there, to a mean over
    tokens say, is left alone: it does not give what it scored last.

    Parameters
    ----------
    model
        A classifier whose configuration names no padding token.
    inputs
        Its keyword arguments.
    labels
        How many labels it has.

    Returns
    -------
    Any
        Logits (batch, labels); the model's own output for a classifier of another kind.
    """
    found: list[Tensor] = []

    def note(module: nn.Module, arguments: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 3 and output.shape[-1] == labels:
            found.append(output)

    # PEFT trains a copy of the head, and puts both into one module.
    heads = [one for one in model.children() if isinstance(getattr(one, "original_module", one), nn.Linear)]
    handles = [head.register_forward_hook(note) for head in heads]
    output = None
    try:
        output = model(**inputs)
    except ValueError:
        if len(found) != 1:
            raise
    finally:
        for handle in handles:
            handle.remove()
    if len(found) != 1:
        return output
    (logits,) = found
    each = torch.arange(len(logits), device=logits.device)
    mask = inputs.get("attention_mask")
    last = torch.full_like(each, -1) if mask is None else mask.to(logits.device).sum(dim=1) - 1
    ends = logits[each, last]
    if output is not None:
        given = outputs.tensor(output, "logits", 2, "(batch, labels)", "load a classifier.")
        if not torch.equal(given, logits[:, -1]):
            return output
    return ends

"""Head: only the hidden states that a target reads become logits, where the rest of the model allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.adapter import hooks
from hf_saliency.adapter.guards import borrowed, hooked
from hf_saliency.errors import out_of_memory
from hf_saliency.targets.readout import Readout

Cut = tuple[Tensor, Tensor]
"""All hidden states, (batch, tokens, width), and those that the head was handed, (rows, refs, width)."""


class Head:
    """The head of a model, which makes logits of hidden states.

    A logit vector is as long as the vocabulary, so the head runs at the tokens that are read and at no others. A head
    whose output is needed whole, or has another shape, is left alone from the first time that this shows.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._whole = False

    def logits(
        self, run: Callable[[], Any], readout: Readout, rows: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, "rows refs classes"], Cut | None]:
        """The logits that each row reads of the output of ``run``; the hidden states if the head was cut to them."""
        head, shape = None, torch.Size()
        if readout.part is not None and not self._whole:
            shape = rows[readout.layout.name(readout.part, "input_ids")].shape
            head = _output_embeddings(self._model)
        cuts: list[Cut] = []
        try:
            with borrowed(self._model), _gathered(head, rows["text"], rows["position"], shape) as cuts:
                output = run()
        except (RuntimeError, IndexError) as error:
            if not cuts or out_of_memory(error):
                raise
            # What becomes of the head's output needs all of it.
            self._whole = True
            return self.logits(run, readout, rows)
        if not cuts:
            return readout.logits(output, rows), None
        count, refs = rows["position"].shape
        logits = hooks.tensor(output, "logits", 3, "(batch, refs, classes)", "its head has another shape.")
        if len(cuts) > 1 or logits.shape[:2] != (count, refs):
            self._whole = True
            return self.logits(run, readout, rows)
        numbers = torch.arange(count, device=rows["text"].device)
        in_order = {
            "text": numbers,
            "position": torch.arange(refs, device=numbers.device).expand(count, refs),
        }
        return readout.logits(logits, {**rows, **in_order}), cuts[0]


def _output_embeddings(model: nn.Module) -> nn.Module | None:
    """What makes logits of hidden states, if the model names it, and no hook of a user's expects all of them."""
    get = getattr(model, "get_output_embeddings", None)
    head = get() if callable(get) else None
    if not isinstance(head, nn.Module) or head._forward_hooks or head._forward_pre_hooks:
        return None
    return head


@contextmanager
def _gathered(
    head: nn.Module | None,
    text: Int[Tensor, " rows"],
    position: Int[Tensor, "rows refs"],
    shape: torch.Size,
) -> Iterator[list[Cut]]:
    """Hand the head the states that are read, of ``shape`` (batch, tokens); yields a cut for each time that it could.

    ``text`` is the row of the hidden states that each row reads, ``position`` at which tokens.
    """
    cuts: list[Cut] = []
    if head is None:
        yield cuts
        return

    def gather(module: nn.Module, arguments: Any) -> Any:
        hidden = arguments[0] if arguments else None
        if not (isinstance(hidden, Tensor) and hidden.dim() == 3 and hidden.shape[:2] == shape):
            return None
        read = hidden[text.to(hidden.device)[:, None], position.to(hidden.device)]
        cuts.append((hidden, read))
        return (read, *arguments[1:])

    with hooked(head.register_forward_pre_hook, gather):
        yield cuts

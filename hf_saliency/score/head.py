"""Head: computes logits only at the tokens that a target reads, where the rest of the model allows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.adapter import hooks
from hf_saliency.adapter.architecture import LastLayer
from hf_saliency.adapter.guards import borrowed, hooked, modules_of
from hf_saliency.errors import out_of_memory
from hf_saliency.targets.readout import Readout

Cut = tuple[Tensor, Tensor]
"""All hidden states, (batch, tokens, width), and those passed on to the rest of the model, (rows, refs, width).

The model gets a copy of the second tensor, since it may change it in place; gradients are taken in the original.
"""


class Head:
    """The head of a model, which turns hidden states into logits.

    A logit vector is as long as the vocabulary, so the head runs only at the tokens that are read. With ``last_layer``
    this cut is made earlier, after the attention of that layer. If a model turns out to need all hidden states, or
    returns logits of another shape, it runs uncut from then on.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._whole = False
        self.last_layer: LastLayer | None = None

    def logits(
        self, run: Callable[[], Any], readout: Readout, rows: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, "rows refs classes"], tuple[Cut, ...]]:
        """Return the logits that each row reads from the output of ``run``, and the cuts of the hidden states."""
        with borrowed(self._model):
            if readout.part is None or self._whole:
                return readout.logits(run(), rows), ()
            shape = rows[readout.layout.name(readout.part, "input_ids")].shape
            reads = _Reads(rows["text"], rows["position"], shape)
            last_layer = None if self.last_layer is None or self._hooked() else self.last_layer
            try:
                with self._cut(last_layer, reads):
                    output = run()
            except Exception as error:
                if not reads.cuts or out_of_memory(error):
                    raise
                if last_layer is None and not isinstance(error, (RuntimeError, IndexError)):
                    raise
                return self._with_more(last_layer, run, readout, rows)
        if not reads.cuts:
            return readout.logits(output, rows), ()
        count, refs = rows["position"].shape
        logits = hooks.tensor(output, "logits", 3, "(batch, refs, classes)", "its head has another shape.")
        if len(reads.cuts) != (1 if last_layer is None else 2) or logits.shape[:2] != (count, refs):
            return self._with_more(last_layer, run, readout, rows)
        numbers = torch.arange(count, device=rows["text"].device)
        in_order = {
            "text": numbers,
            "position": torch.arange(refs, device=numbers.device).expand(count, refs),
        }
        return readout.logits(logits, {**rows, **in_order}), tuple(reads.cuts)

    def _with_more(
        self,
        last_layer: LastLayer | None,
        run: Callable[[], Any],
        readout: Readout,
        rows: Mapping[str, Tensor],
    ) -> tuple[Float[Tensor, "rows refs classes"], tuple[Cut, ...]]:
        """Compute the logits with more hidden states, now and in later calls, since the model needs them."""
        if last_layer is None:
            self._whole = True
        self.last_layer = None
        return self.logits(run, readout, rows)

    @contextmanager
    def _cut(self, last_layer: LastLayer | None, reads: _Reads) -> Iterator[None]:
        """Run the last layer from the end of its attention on, or only the head, on the hidden states that are read."""
        with ExitStack() as stack:
            if last_layer is not None:
                entry = last_layer.layer.register_forward_pre_hook
                stack.enter_context(hooked(entry, reads.enter, with_kwargs=True))
                for module in last_layer.readers:
                    register = module.register_forward_pre_hook
                    stack.enter_context(hooked(register, reads.put_back, with_kwargs=True))
                leave = last_layer.projection.register_forward_pre_hook
                stack.enter_context(hooked(leave, reads.leave))
            elif (head := _output_embeddings(self._model)) is not None:
                stack.enter_context(hooked(head.register_forward_pre_hook, reads.leave))
            yield

    def _hooked(self) -> bool:
        """Whether the model has hooks, or there are global ones, which may expect all hidden states."""
        everywhere: Any = nn.modules.module._has_any_global_hook()  # type: ignore[no-untyped-call]
        return bool(everywhere) or any(
            module._forward_hooks
            or module._forward_pre_hooks
            or module._backward_hooks
            or module._backward_pre_hooks
            for module in modules_of(self._model)
        )


def _output_embeddings(model: nn.Module) -> nn.Module | None:
    """The module that turns hidden states into logits; None if the model names none, or a user's hook is on it."""
    get = getattr(model, "get_output_embeddings", None)
    head = get() if callable(get) else None
    if not isinstance(head, nn.Module) or head._forward_hooks or head._forward_pre_hooks:
        return None
    return head


@dataclass
class _Reads:
    """Hooks that select the hidden states that are read, with one cut for each selection.

    Each row reads the hidden states of row ``text`` at the tokens ``position``; ``shape`` is the (batch, tokens) of all
    hidden states. Other threads may call the model meanwhile; their hidden states stay whole.
    """

    text: Int[Tensor, " rows"]
    position: Int[Tensor, "rows refs"]
    shape: torch.Size
    cuts: list[Cut] = field(default_factory=list)
    entered: Tensor | None = None  # the layer's selected input, which bypasses the attention
    owner: int = field(default_factory=threading.get_ident)

    def enter(self, module: nn.Module, arguments: Any, named: Any) -> Any:
        """Select the hidden states that are read from the layer's input."""
        read = self._gathered(_hidden(arguments, named))
        if read is None:
            return None
        self.entered = read
        return _with_hidden(read, arguments, named)

    def put_back(self, module: nn.Module, arguments: Any, named: Any) -> Any:
        """Give all of the layer's input to a module that reads it for attention."""
        if len(self.cuts) != 1 or _hidden(arguments, named) is not self.entered:
            return None
        return _with_hidden(self.cuts[0][0], arguments, named)

    def leave(self, module: nn.Module, arguments: Any) -> Any:
        """Select the hidden states that are read from the input of the attention's projection, or of the head."""
        read = self._gathered(_hidden(arguments, {}))
        return None if read is None else (read, *arguments[1:])

    def _gathered(self, hidden: Any) -> Tensor | None:
        if threading.get_ident() != self.owner or not (
            isinstance(hidden, Tensor) and hidden.dim() == 3 and hidden.shape[:2] == self.shape
        ):
            return None
        read = hidden[self.text.to(hidden.device)[:, None], self.position.to(hidden.device)]
        self.cuts.append((hidden, read))
        return read.clone()


def _hidden(arguments: Any, named: Any) -> Any:
    """The argument that transformers models call hidden_states."""
    return arguments[0] if arguments else named.get("hidden_states")


def _with_hidden(hidden: Tensor, arguments: Any, named: Any) -> tuple[Any, Any]:
    """Replace the hidden states in the arguments."""
    return ((hidden, *arguments[1:]), named) if arguments else (arguments, {**named, "hidden_states": hidden})

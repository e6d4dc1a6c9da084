"""The slow, obvious reference for every head: one text, dense one-hot inputs, ``torch.autograd``, no package code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Inputs = dict[str, Any]
_TEXTS = ("input_ids", "decoder_input_ids")


@dataclass(frozen=True)
class Entrance:
    """A call of an embedding table with a text's ids, or with the ids shifted right (a decoder that reads it again)."""

    module: nn.Module
    ids: Tensor
    text: str
    moved: bool = False
    turned: bool = False  # looked up as (tokens, batch)

    def hot(self, one_hot: Tensor) -> Tensor:
        """The one-hot vectors that enter at this call, from those of the text's tokens."""
        if not self.moved:
            return one_hot
        start = nn.functional.one_hot(self.ids[:, :1], one_hot.shape[-1]).to(one_hot.dtype)
        around = torch.equal(start, one_hot[:, -1:])  # mBART starts with the text's own last token
        return torch.cat([one_hot[:, -1:] if around else start, one_hot[:, :-1]], dim=1)


def known(model: nn.Module, given: Mapping[str, Any]) -> Inputs:
    """The part of a tokenizer's output that the model accepts, as a batch of one text."""
    names = inspect.signature(model.forward).parameters
    found: Inputs = {name: torch.tensor([value]) for name, value in given.items() if name in names}
    return {**found, **({"use_cache": False} if "use_cache" in names else {})}


def padded(inputs: Inputs, count: int, pad_id: int, side: str) -> Inputs:
    """The same text with padding on one side."""
    width = (0, count) if side == "right" else (count, 0)
    return {
        name: nn.functional.pad(value, width, value=pad_id if name == "input_ids" else 0)
        if isinstance(value, Tensor)
        else value
        for name, value in inputs.items()
    }


def entrances(model: nn.Module, inputs: Inputs) -> list[Entrance]:
    """Every call of every embedding table with the ids of a text, whatever its purpose in the model."""
    texts = {name: inputs[name].flatten(0, -2) for name in _TEXTS if name in inputs}
    found: list[Entrance] = []

    def note(module: nn.Module, arguments: Any) -> None:
        ids = arguments[0] if arguments else None
        if not isinstance(ids, Tensor) or ids.is_floating_point() or ids.dim() < 2:
            return
        for name, text in texts.items():
            if text.shape != ids.shape and torch.equal(ids.T, text) and _looks_up(module, text):
                found.append(Entrance(module, ids, name, turned=True))
                return
        ids = ids.flatten(0, -2)
        for name, text in texts.items():
            length = text.shape[-1]
            if not _looks_up(module, text):
                continue
            if len(ids) != len(text) or ids.shape[-1] < length:
                continue
            if torch.equal(ids[:, :length], text):
                found.append(Entrance(module, ids, name))
            elif torch.equal(ids[:, 1:], text[:, :-1]) and "decoder_input_ids" not in texts:
                found.append(Entrance(module, ids, name, moved=True))

    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    handles = [table.register_forward_pre_hook(note) for table in tables]
    try:
        with torch.no_grad():
            model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _looks_up(module: Any, ids: Tensor) -> bool:
    """Whether a module looks up a vector for each id; some position tables use only the shape of the ids."""
    with torch.no_grad():
        try:
            return torch.equal(module.forward(ids).flip(1), module.forward(ids.flip(1)))
        except (IndexError, ValueError, TypeError):
            return False


def one_hot_norms(model: nn.Module, inputs: Inputs, score: Callable[[Any], Tensor]) -> Tensor:
    """The norm of the score's gradient with respect to each token's one-hot vector, text after text."""
    places = entrances(model, inputs)
    vectors: dict[str, Tensor] = {}
    for place in places:
        if place.text not in vectors:
            rows = table(place.module)
            text = inputs[place.text].flatten(0, -2)
            vectors[place.text] = nn.functional.one_hot(text, len(rows)).to(rows.dtype).requires_grad_()
    with ExitStack() as stack:
        for module in {place.module for place in places}:
            stack.enter_context(_entered(module, [p for p in places if p.module is module], vectors))
        value = score(model(**inputs))
    gradients = torch.autograd.grad(value, [vectors[name] for name in _TEXTS if name in vectors])
    return torch.cat([torch.linalg.vector_norm(gradient, dim=-1).flatten() for gradient in gradients])


@contextmanager
def _entered(module: nn.Module, places: Sequence[Entrance], vectors: Mapping[str, Tensor]) -> Iterator[None]:
    def dense(module: nn.Module, arguments: Any, output: Tensor) -> Tensor | None:
        for place in places:
            if place.turned:
                if torch.equal(arguments[0], place.ids):
                    return (place.hot(vectors[place.text]) @ table(module)).transpose(0, 1)
                continue
            if torch.equal(arguments[0].flatten(0, -2), place.ids):
                embeds = place.hot(vectors[place.text]) @ table(module)
                rest = output.flatten(0, -3)[:, embeds.shape[1] :]  # padding that the model adds itself
                return torch.cat([embeds, rest], dim=1).reshape(output.shape)
        return None

    handle = module.register_forward_hook(dense)
    try:
        yield
    finally:
        handle.remove()


def table(module: nn.Module) -> Tensor:
    """Every row of an embedding, as the module returns it without hooks."""
    with torch.no_grad():
        return module.forward(torch.arange(module.num_embeddings)).detach()

"""Hooks: a forward pass with given embeddings instead of the model's own, and the reading of its output."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hf_saliency.adapter.guards import begin_pass, hooked, modules_of, raise_interrupt
from hf_saliency.adapter.streams import Stream, echoed
from hf_saliency.errors import SaliencyError


def field(output: Any, name: str, place: int = 0) -> Any:
    """Return one field of a model's output, by its name or by its place in a tuple; None if there is none.

    For a mapping or dataclass without the name, this is its first tensor of floats if the place is 0.
    """
    if isinstance(output, Tensor):
        return output if place == 0 else None
    if isinstance(output, (tuple, list)) and not hasattr(output, name):
        return output[place] if len(output) > place else None
    if isinstance(output, Mapping):
        if name in output or place:
            return output.get(name)
        values: Any = output.values()
    else:
        if hasattr(output, name) or place:
            return getattr(output, name, None)
        values = vars(output).values() if hasattr(output, "__dict__") else ()
    tensors = [value for value in values if isinstance(value, Tensor) and value.is_floating_point()]
    return tensors[0] if tensors else None


def tensor(output: Any, name: str, dims: int, shape: str, advice: str, place: int = 0) -> Tensor:
    """Return a field of an output; refuse it, with ``advice``, unless it is a tensor of ``dims`` dimensions."""
    value = field(output, name, place)
    if isinstance(value, Tensor) and value.dim() == dims:
        return value
    shown = tuple(value.shape) if isinstance(value, Tensor) else type(output).__name__
    raise SaliencyError(
        f"the model returned {shown}, but this target reads {name} of shape {shape}: {advice}"
    )


def last_token_logits(model: nn.Module, inputs: Mapping[str, Any], labels: int) -> Any:
    """Return the logits (batch, labels) at the last token before padding, for a classifier that scores each token.

    Any other classifier keeps its own output, such as one that averages its scores over tokens.
    """
    # GPT-2's and Llama's classifiers find padding by its id. Without a pad id they take the last token of every row, or
    # refuse batches; by then the head has scored every token.
    outputs: list[Tensor] = []

    def note(module: nn.Module, arguments: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 3 and output.shape[-1] == labels:
            outputs.append(output)

    # PEFT trains a copy of the head, and wraps both in one module.
    heads = [
        child for child in model.children() if isinstance(getattr(child, "original_module", child), nn.Linear)
    ]
    output = None
    with ExitStack() as stack:
        for head in heads:
            stack.enter_context(hooked(head.register_forward_hook, note))
        try:
            output = model(**inputs)
        except ValueError:
            if len(outputs) != 1:
                raise
    if len(outputs) != 1:
        return output
    (logits,) = outputs
    numbers = torch.arange(len(logits), device=logits.device)
    mask = inputs.get("attention_mask")
    last = torch.full_like(numbers, -1) if mask is None else mask.to(logits.device).sum(dim=1) - 1
    ends = logits[numbers, last]
    if output is not None:
        returned = tensor(output, "logits", 2, "(batch, labels)", "load a classifier.")
        if not torch.equal(returned, logits[:, -1]):
            return output
    return ends


@contextmanager
def embedded(
    model: nn.Module, streams: Sequence[Stream], embeds: Sequence[Tensor], inputs: Mapping[str, Any]
) -> Iterator[None]:
    """Replace the output of each stream's module by embeddings; refuse a model that does not read each text once."""
    ids = [
        values for name, values in inputs.items() if name.endswith("input_ids") and isinstance(values, Tensor)
    ]
    for stream in streams:
        stream.check_host()
    begin_pass(model, embeds[0].shape[-2])
    with ExitStack() as stack:
        calls = [stack.enter_context(_replaced(s, e, ids)) for s, e in zip(streams, embeds, strict=True)]
        stack.enter_context(_read_by_no_other(model, streams, ids))
        for stream, embed in zip(streams, embeds, strict=True):
            if stream.echo is not None:
                stack.enter_context(echoed(stream, embed))
        yield
    for stream, consumed in zip(streams, calls, strict=True):
        expected = sum((other.module is stream.module) + (other.echo is stream.module) for other in streams)
        fits = len(consumed) >= expected if stream.extra_lookups else len(consumed) == expected
        if sum(consumed) != 1 or not fits:
            raise SaliencyError(
                f"{type(model).__name__} called its text embedding {len(consumed)} times in a forward pass instead of "
                f"{expected}: its scores depend on the text in a way that the embedding alone does not show."
            )


@contextmanager
def _replaced(stream: Stream, embeds: Tensor, ids: Sequence[Tensor]) -> Iterator[list[bool]]:
    """Replace one call's output by embeddings; yield a list that says for each call whether it was replaced."""
    calls: list[bool] = []
    owner = threading.get_ident()

    def replace(module: nn.Module, arguments: Any, output: Any) -> Tensor | None:
        if threading.get_ident() != owner:  # another explanation, which runs at the same time
            return None
        raise_interrupt()
        calls.append(len(calls) == stream.call)
        if not calls[-1]:
            return None
        if not isinstance(output, Tensor) or not _holds(output, embeds):
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise SaliencyError(
                f"the embedding module returned {shape}, but the text has embeddings {tuple(embeds.shape)}: this "
                "model reads its tokens in a way that is not supported."
            )
        values = embeds.to(output.dtype)
        if _tokens_first(stream, arguments, output, embeds, ids):
            return values.flatten(0, -3).transpose(0, 1).clone()
        if output.numel() > embeds.numel():  # the model pads to whole windows itself (Longformer)
            return torch.cat([values, output[:, embeds.shape[1] :]], dim=1)
        # A clone, since some models scale or add to the embedding's output in place.
        return values.reshape(output.shape).clone()

    with hooked(stream.module.register_forward_hook, replace):
        yield calls


def _tokens_first(
    stream: Stream, arguments: Any, output: Tensor, embeds: Tensor, ids: Sequence[Tensor]
) -> bool:
    """Whether the module looks a batch up as (tokens, batch); refuse one that looks up anything but the ids."""
    if not arguments or not isinstance(arguments[0], Tensor):
        return False
    looked, rows = arguments[0], embeds.flatten(0, -3)
    flat = looked.flatten()
    in_order = any(_same(looked, tensor.flatten(0, -2)) for tensor in ids)
    if len(rows) > 1 and not in_order and any(_same(looked, tensor.flatten(0, -2).T) for tensor in ids):
        return True
    elsewhere = len(rows) > 1 and output.shape[:2] == rows.shape[1::-1] != rows.shape[:2]
    named = stream.explicit and not in_order and not any(_same(flat, tensor.flatten()) for tensor in ids)
    if stream.extra_lookups and not in_order and not any(_begins(looked, tensor) for tensor in ids):
        raise SaliencyError(
            "the embedding module looks up something else before the text, but Family(extra_lookups=True) is for "
            "lookups after it: look the text up first, or use another module for the rest."
        )
    if elsewhere or named:
        raise SaliencyError(
            "the embedding module does not look up the token ids that the model is called with: name the one that "
            "does, Explainer(model, tokenizer, embedding=model.encoder.embed)."
        )
    return False


def _begins(looked: Tensor, ids: Tensor) -> bool:
    """Whether the text comes first, followed by padding that the model adds (LED)."""
    return _same(looked[..., : ids.shape[-1]], ids.flatten(0, -2))


def _same(looked: Tensor, ids: Tensor) -> bool:
    """Whether these are the ids: the same memory, which needs no wait for the device, or else the same values."""
    if looked.shape != ids.shape:
        return False
    memory = looked.data_ptr() == ids.data_ptr() and looked.stride() == ids.stride()
    return memory or bool((looked == ids.to(looked.device)).all())


def _counted(ids: Tensor) -> bool:
    """Whether ids are consecutive integers, since then they may be positions instead."""
    return bool((ids.diff(dim=-1) == 1).all())


@contextmanager
def _read_by_no_other(model: nn.Module, streams: Sequence[Stream], ids: Sequence[Tensor]) -> Iterator[None]:
    """Refuse a model that looks the token ids up in a second table as well."""
    known = {module for stream in streams for module in (stream.module, stream.echo)}
    owner = threading.get_ident()
    readers: list[nn.Module] = []

    def note(module: nn.Module, arguments: Any, named: Any) -> None:
        looked = arguments[0] if arguments else named.get("input")
        if threading.get_ident() == owner and isinstance(looked, Tensor):
            flat = looked.flatten()
            again = any(
                looked.data_ptr() == tensor.data_ptr()
                or (_same(flat, tensor.flatten()) and not _counted(tensor))
                for tensor in ids
            )
            readers.extend([module] * again)

    # Tables with a custom forward function may take the ids only for their shape.
    tables = [
        module
        for module in modules_of(model)
        if type(module).forward is nn.Embedding.forward and module not in known
    ]
    with ExitStack() as stack:
        for table in tables:
            stack.enter_context(hooked(table.register_forward_pre_hook, note, with_kwargs=True))
        yield
    if readers:
        name = next(name for name, module in model.named_modules() if module is readers[0])
        raise SaliencyError(
            f"{type(model).__name__} looks the token ids up in a second table ({name}) as well, so the gradients "
            "of the first one show only a part of what depends on a token."
        )


def _holds(output: Tensor, embeds: Tensor) -> bool:
    """Whether a text's embeddings can replace the module's output, which may have padding after them."""
    if output.dim() == embeds.dim() == 3 and output.shape[::2] == embeds.shape[::2]:
        return output.shape[1] >= embeds.shape[1]
    return output.numel() == embeds.numel()

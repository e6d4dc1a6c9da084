"""Streams and layouts: the embedding module through which a text enters a model, and how several sequences enter."""

from __future__ import annotations

import dataclasses
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.adapter.guards import hooked
from hf_saliency.adapter.wrappers import unwrapped_table
from hf_saliency.errors import SaliencyError


@dataclass(frozen=True)
class Stream:
    """An input of a model: an embedding module, and the number of its call in a forward pass, from 0."""

    module: nn.Module
    call: int = 0
    extra_lookups: bool = False  # later calls may look up other tokens
    # The embedding of a decoder that reads the encoder's text again, shifted right by one, if it gets no separate text.
    echo: nn.Module | None = None
    wrap_pad_id: int | None = None  # finds the text's last token, for an echo that reads it first
    explicit: bool = False  # the user passed the module
    host: nn.Module | None = None  # the PEFT layer around it

    def without_echo(self) -> Stream:
        return dataclasses.replace(self, echo=None)

    @property
    def device(self) -> torch.device:
        """The device that token ids must be on."""
        weight = next(self.module.parameters())
        hook = getattr(self.module, "_hf_hook", None)  # accelerate keeps offloaded weights on "meta"
        executes_on = getattr(hook, "execution_device", None)
        if weight.is_meta and executes_on is not None:
            return torch.device(executes_on)
        return weight.device

    def check_host(self) -> None:
        """Refuse an embedding that PEFT has started to adapt, or stopped calling, since the stream was made."""
        if self.host is not None and unwrapped_table(self.host) is not self.module:
            raise SaliencyError(
                "the adapter of the text embedding was merged, unmerged, switched or disabled after the Explainer was "
                "made: make another one, hs.Explainer(model, tokenizer)."
            )

    @property
    def rows(self) -> int:
        """The number of token ids that the embedding knows."""
        assert isinstance(self.module, nn.Embedding)
        return self.module.num_embeddings

    def embed(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """Return the embeddings of tokens, detached from any graph."""
        with torch.no_grad():
            embeds: Tensor = self.module(ids)
        return embeds.detach()


def streams(
    model: nn.Module,
    embedding: nn.Module | None = None,
    *,
    extra_lookups: bool = False,
    rotates: bool = False,
) -> tuple[Stream, ...]:
    """Return the streams of a model: one, or two for an encoder-decoder; refuse a model without an embedding.

    ``embedding`` is for a model whose embedding this rule does not find. ``rotates`` tells whether the decoder's echo
    starts with the text's last token.
    """
    if embedding is not None:
        return (dataclasses.replace(_stream(embedding, model), extra_lookups=extra_lookups, explicit=True),)
    inner = _inner(model)
    if getattr(getattr(inner, "config", None), "is_encoder_decoder", False):
        source, target = (_embedding_of(half(), model) for half in (inner.get_encoder, inner.get_decoder))
        first = dataclasses.replace(
            _stream(source, model),
            extra_lookups=extra_lookups,
            echo=target,
            wrap_pad_id=inner.config.pad_token_id if rotates else None,
        )
        # If both share a table, the encoder calls it first.
        return (first, Stream(target, call=int(source is target), extra_lookups=extra_lookups))
    return (dataclasses.replace(_stream(_embedding_of(inner, model), model), extra_lookups=extra_lookups),)


def _inner(model: nn.Module) -> Any:
    """Return the outermost module that names its input embedding: the model itself, or the encoder within it."""
    if hasattr(model, "get_input_embeddings"):
        return model
    holders = [module for module in model.modules() if hasattr(module, "get_input_embeddings")]
    inner = {part for holder in holders for part in holder.modules() if part is not holder}
    outer = [holder for holder in holders if holder not in inner]
    if len(outer) == 1:
        return outer[0]
    tables = {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    if not outer and len(tables) == 1:
        return model
    what = (
        f"{len(outer)} models with one"
        if outer
        else f"the tables {', '.join(tables)}"
        if tables
        else "no embedding table"
    )
    raise SaliencyError(
        f"{type(model).__name__} has no get_input_embeddings(), and contains {what}: name the module that embeds the "
        "token ids, Explainer(model, tokenizer, embedding=model.encoder.embed), or pass a text model of transformers, "
        "such as AutoModelForMaskedLM.from_pretrained(name)."
    )


def _embedding_of(model: Any, outer: nn.Module) -> Any:
    name = type(outer).__name__
    if not hasattr(model, "get_input_embeddings"):
        return next(module for module in model.modules() if isinstance(module, nn.Embedding))
    try:
        return model.get_input_embeddings()
    except (AttributeError, NotImplementedError) as error:
        raise SaliencyError(
            f"{name} has no get_input_embeddings(): pass a text model of transformers, such as "
            "AutoModelForMaskedLM.from_pretrained(name)."
        ) from error


def _stream(module: Any, model: nn.Module) -> Stream:
    table = unwrapped_table(module)
    if type(table).__module__.startswith("peft."):
        raise SaliencyError(
            f"PEFT adapts the text embedding of {type(model).__name__} ({type(table).__name__}), so it has no single "
            "table: merge the adapter into the weights first, model.merge_adapter() or model = "
            "model.merge_and_unload()."
        )
    if not isinstance(table, nn.Embedding):
        raise SaliencyError(
            f"{type(model).__name__} has no text embedding: get_input_embeddings() returned {type(table).__name__}, "
            "but one-hot gradients exist only for an nn.Embedding over token ids."
        )
    return Stream(table, host=None if table is module else module)


def check_ids(stream: Stream, ids: Sequence[int], pieces: Sequence[str]) -> None:
    """Refuse ids that the embedding has no row for."""
    rows = stream.rows
    for i, piece in zip(ids, pieces, strict=True):
        if not 0 <= i < rows:
            raise SaliencyError(
                f"the tokenizer gives the token {piece!r} the id {i}, but the model's embedding has {rows} rows: "
                "pass the tokenizer that belongs to the model, or call "
                "model.resize_token_embeddings(len(tokenizer)) after adding tokens."
            )


@contextmanager
def echoed(stream: Stream, embeds: Tensor) -> Iterator[None]:
    """Replace the output of a stream's echo by the stream's embeddings, shifted right by one.

    A token's embedding then counts in both places, as its one-hot vector does.
    """
    owner = threading.get_ident()
    texts: list[Tensor] = []

    def note(module: nn.Module, arguments: Any) -> None:
        if threading.get_ident() == owner and not texts:
            texts.append(arguments[0])

    def replace(module: nn.Module, arguments: Any, output: Tensor) -> Tensor | None:
        if threading.get_ident() != owner or not texts or arguments[0] is texts[0]:
            return None
        return _moved(stream, texts[0], arguments[0], embeds, output)

    assert stream.echo is not None
    with ExitStack() as stack:
        stack.enter_context(hooked(stream.module.register_forward_pre_hook, note))
        stack.enter_context(hooked(stream.echo.register_forward_hook, replace))
        yield


def _moved(stream: Stream, text: Tensor, ids: Tensor, embeds: Tensor, output: Tensor) -> Tensor:
    same = ids.shape == text.shape and embeds.shape == output.shape and torch.equal(ids[:, 1:], text[:, :-1])
    if not same:
        raise SaliencyError(
            "the decoder of this model reads a different text from its encoder, and this target explains one text: "
            "explain what it writes with target=hs.Continuation()."
        )
    if not _one_table(stream):
        raise SaliencyError(
            "encoder and decoder of this model both read the text, with tables of their own, so a token has no "
            "single embedding: load it with config.tie_word_embeddings=True if that is what it was trained with."
        )
    values = embeds.to(output.dtype)
    start = output[:, :1]
    if stream.wrap_pad_id is not None:
        # Count tokens as shift_tokens_right of transformers does, also if padding lies within the text.
        last = (text != stream.wrap_pad_id).sum(dim=1) - 1
        start = values[torch.arange(len(values), device=values.device), last.to(values.device)][:, None]
    return torch.cat([start, values[:, :-1]], dim=1)


def _one_table(stream: Stream) -> bool:
    """Whether a token has the same embedding in encoder and decoder."""
    table: Any = stream.module
    echo: Any = stream.echo
    scales = [getattr(module, "embed_scale", 1.0) for module in (table, echo)]
    return table is echo or (table.weight is echo.weight and bool(scales[0] == scales[1]))


Streams = Sequence[Stream]
Embeds = Sequence[Tensor]
Inputs = Mapping[str, Tensor]

# Maps streams, embeddings and the model's keyword arguments to its output.
Forward = Callable[[Streams, Embeds, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Layout(ABC):
    """The number of sequences in a row, the names of their tensors, and the call of the model with them."""

    one_length: ClassVar[bool] = False  # whether all sequences are padded to the longest

    @property
    @abstractmethod
    def parts(self) -> int:
        """The number of sequences, one per stream."""

    @abstractmethod
    def streams(self, model_streams: Sequence[Stream]) -> tuple[Stream, ...]:
        """Return one stream per sequence, chosen from the model's."""

    @abstractmethod
    def name(self, part: int, base: str) -> str:
        """Return the name of a sequence's ``input_ids``, ``attention_mask``, ... among the row tensors."""

    @abstractmethod
    def run(self, forward: Forward, streams: Streams, embeds: Embeds, inputs: Inputs) -> Any:
        """Return the model's output for a batch."""


@dataclass(frozen=True)
class OneSequence(Layout):
    """One sequence, one call: encoders, decoders, classifiers of pairs."""

    parts = 1

    def streams(self, model_streams: Sequence[Stream]) -> tuple[Stream, ...]:
        return tuple(model_streams[:1])

    def name(self, part: int, base: str) -> str:
        return base

    def run(self, forward: Forward, streams: Streams, embeds: Embeds, inputs: Inputs) -> Any:
        return forward(streams, embeds, inputs)


ONE_SEQUENCE = OneSequence()


@dataclass(frozen=True)
class EncoderDecoder(OneSequence):
    """A source and a target, which enter an encoder and a decoder in one call."""

    parts = 2

    def streams(self, model_streams: Sequence[Stream]) -> tuple[Stream, ...]:
        return tuple(stream.without_echo() for stream in model_streams[:2])

    def name(self, part: int, base: str) -> str:
        return f"decoder_{base}" if part else base


@dataclass(frozen=True)
class _Apart(Layout):
    """Sequences that share one embedding."""

    count: int

    @property
    def parts(self) -> int:
        """The number of sequences, one per stream."""
        return self.count

    def streams(self, model_streams: Sequence[Stream]) -> tuple[Stream, ...]:
        return tuple(model_streams[:1]) * self.count

    def name(self, part: int, base: str) -> str:
        return f"{base}.{part}"

    def _inputs(self, part: int, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        bases = {name.rpartition(".")[0]: name for name in inputs if name.endswith(f".{part}")}
        return {base: inputs[name] for base, name in bases.items()}


@dataclass(frozen=True)
class InTurn(_Apart):
    """One call per sequence; returns a tuple of their outputs. For two texts to compare."""

    def run(self, forward: Forward, streams: Streams, embeds: Embeds, inputs: Inputs) -> Any:
        return tuple(
            forward([streams[part]], [embeds[part]], self._inputs(part, inputs)) for part in range(self.count)
        )


@dataclass(frozen=True)
class Stacked(_Apart):
    """One call with all sequences as (batch, sequences, tokens): the choices of multiple choice."""

    one_length = True

    def run(self, forward: Forward, streams: Streams, embeds: Embeds, inputs: Inputs) -> Any:
        parts = [self._inputs(part, inputs) for part in range(self.count)]
        stacked = {base: torch.stack([tensors[base] for tensors in parts], dim=1) for base in parts[0]}
        return forward(streams[:1], [torch.stack(list(embeds), dim=1)], stacked)

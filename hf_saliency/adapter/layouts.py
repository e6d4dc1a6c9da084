"""Layouts: how the sequences of a row enter a model, in one call or in several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from hf_saliency.adapter.streams import Stream

# From streams, embeds and the model's keyword arguments to its output.
Forward = Callable[[Sequence[Stream], Sequence[Tensor], Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Layout(ABC):
    """How many sequences a row has, what their tensors are called, and how the model is called with them."""

    one_length: ClassVar[bool] = False  # whether all sequences are padded to the longest

    @property
    @abstractmethod
    def parts(self) -> int:
        """How many sequences, one a stream."""

    @abstractmethod
    def streams(self, own: Sequence[Stream]) -> tuple[Stream, ...]:
        """One a sequence, from the model's own."""

    @abstractmethod
    def name(self, part: int, base: str) -> str:
        """What a sequence's ``input_ids``, ``attention_mask``, ... are called among the row tensors."""

    @abstractmethod
    def run(
        self,
        forward: Forward,
        streams: Sequence[Stream],
        embeds: Sequence[Tensor],
        inputs: Mapping[str, Tensor],
    ) -> Any:
        """The model's output for a batch."""


@dataclass(frozen=True)
class OneSequence(Layout):
    """One sequence, one call: encoders, decoders, classifiers of pairs."""

    parts = 1

    def streams(self, own: Sequence[Stream]) -> tuple[Stream, ...]:
        return tuple(own[:1])

    def name(self, part: int, base: str) -> str:
        return base

    def run(
        self,
        forward: Forward,
        streams: Sequence[Stream],
        embeds: Sequence[Tensor],
        inputs: Mapping[str, Tensor],
    ) -> Any:
        return forward(streams, embeds, inputs)


ONE_SEQUENCE = OneSequence()


@dataclass(frozen=True)
class EncoderDecoder(OneSequence):
    """A source and a target, which enter an encoder and a decoder in one call."""

    parts = 2

    def streams(self, own: Sequence[Stream]) -> tuple[Stream, ...]:
        return tuple(stream.without_echo() for stream in own[:2])

    def name(self, part: int, base: str) -> str:
        return f"decoder_{base}" if part else base


@dataclass(frozen=True)
class _Apart(Layout):
    """Sequences of one kind, which the same embedding embeds."""

    count: int

    @property
    def parts(self) -> int:
        """How many sequences, one a stream."""
        return self.count

    def streams(self, own: Sequence[Stream]) -> tuple[Stream, ...]:
        return tuple(own[:1]) * self.count

    def name(self, part: int, base: str) -> str:
        return f"{base}.{part}"

    def _inputs(self, part: int, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        bases = {name.rpartition(".")[0]: name for name in inputs if name.endswith(f".{part}")}
        return {base: inputs[name] for base, name in bases.items()}


@dataclass(frozen=True)
class InTurn(_Apart):
    """One call for each sequence; the output is a tuple of theirs (two texts that are compared)."""

    def run(
        self,
        forward: Forward,
        streams: Sequence[Stream],
        embeds: Sequence[Tensor],
        inputs: Mapping[str, Tensor],
    ) -> Any:
        return tuple(
            forward([streams[part]], [embeds[part]], self._inputs(part, inputs)) for part in range(self.count)
        )


@dataclass(frozen=True)
class Stacked(_Apart):
    """One call with all sequences as (batch, sequences, tokens): the choices of multiple choice."""

    one_length = True

    def run(
        self,
        forward: Forward,
        streams: Sequence[Stream],
        embeds: Sequence[Tensor],
        inputs: Mapping[str, Tensor],
    ) -> Any:
        each = [self._inputs(part, inputs) for part in range(self.count)]
        stacked = {base: torch.stack([one[base] for one in each], dim=1) for base in each[0]}
        return forward(streams[:1], [torch.stack(list(embeds), dim=1)], stacked)

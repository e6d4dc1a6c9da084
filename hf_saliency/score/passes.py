"""Passes: splits the rows of a call into the forward passes that a budget requires, or into one per logit read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hf_saliency.adapter.streams import Stream


@dataclass(frozen=True)
class PassResult:
    """The results of a forward pass, in addition to the graph."""

    scores: Float[Tensor, " rows"]  # in the target's unit
    class_ids: Int[Tensor, "rows refs"]  # that are scored, also where the most probable one was requested
    classes: Int[Tensor, "rows refs k"]  # the most probable at each logit that is read, best first
    probabilities: Float[Tensor, "rows refs k"]
    class_probabilities: Float[Tensor, "rows scored"]  # of the classes that are scored
    against_probabilities: Float[Tensor, "rows contrasted"]  # of those that are subtracted

    @classmethod
    def joined(cls, parts: Sequence[PassResult]) -> PassResult:
        """Join the results of rows that were evaluated in several passes."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


Function = Callable[[Sequence[Tensor], Sequence[Tensor]], Float[Tensor, " rows"]]


def in_pieces(
    function: Function, inputs: Sequence[Tensor], rows: Sequence[Tensor], size: int
) -> Float[Tensor, " rows"]:
    """Evaluate at most ``size`` rows at a time of a function whose value in a row depends on that row alone.

    The result can be differentiated once.
    """
    # If gradients in the inputs are wanted, each piece is differentiated as soon as it is evaluated, so that only one
    # piece's graph is alive at any time. No row is evaluated twice, and memory is that of one piece.
    differentiated = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    # Gradients in float16 leave its range unless the caller scales them in the backward pass.
    if differentiated and any(tensor.dtype is torch.float16 for tensor in inputs):
        return function(inputs, rows)
    if differentiated:
        values: Tensor = _Pieces.apply(function, rows, size, *inputs)  # type: ignore[no-untyped-call]
        return values
    return torch.cat([function(*part) for part in _split(inputs, rows, size)])


def _split(
    inputs: Sequence[Tensor], rows: Sequence[Tensor], size: int
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    for start in range(0, len(inputs[0]), size):
        piece = slice(start, start + size)
        yield [tensor[piece] for tensor in inputs], [tensor[piece] for tensor in rows]


class _Pieces(torch.autograd.Function):
    """Computes values and gradients together; the backward pass only multiplies."""

    @staticmethod
    def forward(ctx: Any, function: Function, rows: Sequence[Tensor], size: int, *inputs: Tensor) -> Tensor:
        values, gradients = [], []
        for piece, piece_rows in _split(inputs, rows, size):
            leaves = [tensor.detach().requires_grad_() for tensor in piece]
            with torch.enable_grad():
                value = function(leaves, piece_rows)
                gradients.append(torch.autograd.grad(value.sum(), leaves))
            values.append(value.detach())
        ctx.save_for_backward(*map(torch.cat, zip(*gradients, strict=True)))
        return torch.cat(values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (g * outer.to(g.dtype).reshape(-1, *[1] * (g.dim() - 1)) for g in ctx.saved_tensors)
        return (None, None, None, *scaled)


@dataclass(frozen=True)
class MaskedInTurn:
    """Rows that read several tokens, each masked while it is read, split into rows that read one token each.

    Each of these rows belongs to the row ``owner``, and reads the logit number ``place`` of that row.
    """

    owner: Int[Tensor, " reads"]
    place: Int[Tensor, " reads"]
    embeds: Float[Tensor, "reads tokens width"]
    rows: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        embeds: Float[Tensor, "rows tokens width"],
        rows: Mapping[str, Tensor],
        stream: Stream,
        mask_id: int,
    ) -> MaskedInTurn:
        """Make rows of one token each, and mask that token in the ids and in the embeddings."""
        owner, place = (rows["weight"] != 0).nonzero(as_tuple=True)
        numbers = torch.arange(len(owner), device=owner.device)
        single = {name: values[owner] for name, values in rows.items()}
        for name in ("position", "class_id", "against_id", "weight"):
            if name in rows:
                single[name] = rows[name][owner, place][:, None]
        mask = torch.full((1, 1), mask_id, device=owner.device)
        position = single["position"][:, 0]
        single["input_ids"] = single["input_ids"].index_put((numbers, position), mask[0])
        vector = stream.embed(mask)[0, 0].to(embeds.dtype)
        return cls(owner, place, embeds[owner].index_put((numbers, position), vector), single)

    def sums(self, scores: Float[Tensor, " reads"], count: int) -> Float[Tensor, " rows"]:
        """Return the sum of each row's scores, for ``count`` rows."""
        return torch.zeros(count, dtype=scores.dtype, device=scores.device).index_add(0, self.owner, scores)

    def result(
        self, read: PassResult, scores: Float[Tensor, " rows"], class_ids: Int[Tensor, "rows refs"]
    ) -> PassResult:
        """Return the rows' result from that of their tokens, without predictions, which belong to single masks."""
        class_ids = class_ids.index_put((self.owner, self.place), read.class_ids[:, 0])
        nothing = class_ids[..., None][..., :0]
        none = scores.detach()[:, None][:, :0]
        return PassResult(scores.detach(), class_ids, nothing, nothing.to(scores.dtype), none, none)

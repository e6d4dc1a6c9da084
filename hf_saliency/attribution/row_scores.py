"""RowScores: the score of copies of a batch's rows, each with the target and the arguments of its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from captum._utils.common import _format_additional_forward_args, _run_forward
from jaxtyping import Float, Int
from torch import Tensor

from hf_saliency.attribution.inputs import usable
from hf_saliency.attribution.row_scale import RowScale
from hf_saliency.errors import SaliencyError


@dataclass(frozen=True)
class RowScores:
    """A forward function with what Captum hands it beside the inputs.

    Parameters
    ----------
    forward_func
        From embeddings, one tensor a stream, and arguments to one score a row.
    target
        In any of Captum's forms; one with a value for each row is taken row by row.
    arguments
        What ``forward_func`` takes after the embeddings; tensors have a row for each row of the batch.
    """

    forward_func: Callable[..., Tensor]
    target: Any
    arguments: tuple[Any, ...]

    @classmethod
    def of(
        cls, forward_func: Callable[..., Tensor], streams: Sequence[Tensor], target: Any, arguments: Any
    ) -> RowScores:
        """What ``attribute`` was given; refuses what does not have a row for each row of the inputs."""
        batch = len(streams[0])
        rest = usable(_format_additional_forward_args(arguments)) or ()
        _check_rows("inputs", streams, batch)
        _check_rows("additional_forward_args", [one for one in rest if _by_row(one)], batch)
        _check_rows("target", [target] if _differs(target) else [], batch)
        return cls(RowScale(forward_func, lambda: False), target, rest)

    def __call__(
        self, embeds: tuple[Float[Tensor, "copies ..."], ...], rows: Int[Tensor, " copies"]
    ) -> Float[Tensor, " copies"]:
        """The score of each copy; refuses a function that gives more or fewer."""
        scores: Tensor = _run_forward(self.forward_func, embeds, *self._at(rows))
        if scores.numel() != len(rows):
            raise SaliencyError(
                f"forward_func gives scores of shape {tuple(scores.shape)} for {len(rows)} rows: it must give one "
                "score a row, or the target must pick one, such as target=0."
            )
        return scores.flatten()

    def gradients(
        self, embeds: tuple[Float[Tensor, "copies ..."], ...], rows: Int[Tensor, " copies"]
    ) -> tuple[tuple[Float[Tensor, "copies ..."], ...], Float[Tensor, " copies"]]:
        """Each copy's gradients in its embeddings, and its score."""
        leaves = tuple(one.detach().requires_grad_() for one in embeds)
        scores = self(leaves, rows)
        return torch.autograd.grad(scores, leaves, torch.ones_like(scores)), scores.detach()

    def _at(self, rows: Int[Tensor, " copies"]) -> tuple[Any, tuple[Any, ...]]:
        """Target and arguments of copies of these rows."""
        arguments = tuple(_of_rows(one, rows) if _by_row(one) else one for one in self.arguments)
        return _of_rows(self.target, rows) if _differs(self.target) else self.target, arguments


def _by_row(argument: object) -> bool:
    """Whether an additional argument has a row for each row of the inputs."""
    return isinstance(argument, Tensor) and argument.dim() > 0


def _differs(target: object) -> bool:
    """Whether a target, in one of Captum's forms, has a value for each row."""
    return isinstance(target, list) or (isinstance(target, Tensor) and target.numel() != 1)


def _of_rows(given: Any, rows: Int[Tensor, " copies"]) -> Any:
    return [given[row] for row in rows.tolist()] if isinstance(given, list) else given[rows.to(given.device)]


def _check_rows(name: str, given: Sequence[Any], batch: int) -> None:
    for one in given:
        if len(one) != batch:
            raise SaliencyError(
                f"{name} has {len(one)} rows where the inputs have {batch}: it needs one for each, such as "
                "mask.expand(len(embeds), -1) for a mask of one row."
            )

"""What the attributions of this package accept as inputs and baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

import torch
from captum._utils.common import _format_additional_forward_args, _run_forward
from captum.attr import GradientAttribution
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from hf_saliency.attribution.float16 import RowScale
from hf_saliency.errors import SaliencyError, one_of, whole


class PathAttribution(GradientAttribution):  # type: ignore[misc]
    """Gradients summed along a path from a baseline to the input, times the way.

    Parameters
    ----------
    forward_func
        From embeddings, one tensor a stream, and additional arguments to one score a row.
    """

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        GradientAttribution.__init__(self, forward_func)

    @property
    def multiplies_by_inputs(self) -> bool:
        """True: gradients are multiplied by differences of points of the path."""
        return True

    def has_convergence_delta(self) -> bool:
        """True: see ``compute_convergence_delta``."""
        return True

    def attribute_future(self) -> NoReturn:
        """Refused: gradients are computed at once."""
        raise NotImplementedError(f"{type(self).__name__} returns no futures: call attribute().")


Quadrature = Literal["gausslegendre", "riemann_middle", "riemann_left", "riemann_right"]


def check_quadrature(rule: object, n_steps: int, name: str = "quadrature") -> Quadrature:
    """Refuse a rule that does not exist, and too few points for one.

    Parameters
    ----------
    rule
        The rule.
    n_steps
        The points.
    name
        What the caller calls the rule.

    Returns
    -------
    Quadrature
        The rule.

    Raises
    ------
    SaliencyError
        If there is no such rule, or it needs more points.
    """
    if rule == "riemann_trapezoid":
        raise SaliencyError(
            f"{name}='riemann_trapezoid': Captum's weights of this rule add up to (n - 1) / n, and so do its results; "
            f"use {name}='gausslegendre', the default."
        )
    chosen: Quadrature = one_of(rule, get_args(Quadrature), name)
    if chosen != "gausslegendre" and n_steps < 2:
        raise SaliencyError(f"n_steps={n_steps}: {chosen} needs 2 points or more.")
    return chosen


def embeds_of(inputs: object) -> tuple[Float[Tensor, "batch ..."], ...]:
    """The streams given to ``GradientNorm``; refuses what is no float tensor (batch, tokens, width) or tuple."""
    streams = _tensors(inputs, "embeddings (batch, tokens, width)")
    for embeds in streams:
        if not embeds.is_floating_point():
            raise SaliencyError(
                f"inputs of dtype {embeds.dtype} are no embeddings: for token ids use "
                "LayerGradientNorm(forward_func, embedding).attribute(ids)."
            )
        if embeds.dim() < 3:
            raise SaliencyError(
                f"inputs of shape {tuple(embeds.shape)} are no embeddings (batch, tokens, width): add what "
                "lacks, such as embeds[None] for a batch of one."
            )
    return streams


def streams_of(inputs: object) -> tuple[Float[Tensor, "batch ..."], ...]:
    """As ``embeds_of``, as values that autograd can use and that are cut off from any graph."""
    return tuple(usable(stream).detach() for stream in embeds_of(inputs))


def baselines_of(
    baselines: object, streams: Sequence[Float[Tensor, "batch ..."]]
) -> tuple[Float[Tensor, "batch ..."], ...]:
    """Baselines in any of Captum's forms as tensors of the streams' shapes: None is 0, one row is for all."""
    starts = baselines if isinstance(baselines, tuple) else (baselines,)
    if baselines is None:
        starts = (0,) * len(streams)
    if len(starts) != len(streams):
        raise SaliencyError(
            f"{len(starts)} baseline(s) for {len(streams)} tensor(s) of embeddings: attribute((embeds, embeds), "
            "(baseline, baseline)) has one each."
        )
    return tuple(_baseline_of(start, stream) for start, stream in zip(starts, streams, strict=True))


def check_internal_batch_size(size: object) -> None:
    """Refuse what is no number of rows."""
    if size is not None:
        whole(size, "internal_batch_size")


def ids_of(inputs: object, attribute_to_layer_input: bool) -> tuple[Shaped[Tensor, "batch ..."], ...]:
    """The tensors given to ``LayerGradientNorm``; refuses them if none holds integers, as token ids are."""
    if attribute_to_layer_input:
        raise SaliencyError(
            "attribute_to_layer_input=True asks for gradients in token ids, and there are none: leave it out for "
            "gradients in the tokens' one-hot vectors or embeddings."
        )
    tensors = _tensors(inputs, "token ids (batch, tokens)")
    if all(tensor.is_floating_point() for tensor in tensors):
        raise SaliencyError(
            f"inputs of dtype {tensors[0].dtype} are no token ids: for embeddings use "
            "GradientNorm(forward_func, table).attribute(embeds)."
        )
    return tensors


def usable(arguments: Any) -> Any:
    """Arguments with copies of the tensors that were made under inference mode, which autograd cannot use."""
    if isinstance(arguments, tuple):
        return tuple(map(usable, arguments))
    return arguments.clone() if isinstance(arguments, Tensor) and arguments.is_inference() else arguments


def _baseline_of(baseline: object, stream: Tensor) -> Tensor:
    if isinstance(baseline, (int, float)):
        return torch.full_like(stream, baseline)
    if isinstance(baseline, Tensor) and baseline.shape in (stream.shape, (1, *stream.shape[1:])):
        moved: Tensor = usable(baseline).detach().to(stream)
        return moved.expand_as(stream)
    shape = f"of shape {tuple(baseline.shape)}" if isinstance(baseline, Tensor) else ""
    raise SaliencyError(
        f"a baseline is {shape or f'a {type(baseline).__name__}'}, but the embeddings are {tuple(stream.shape)}: give "
        "a number, a tensor like the embeddings, such as torch.zeros_like(embeds), or one row of it for all, such as "
        "baseline[:1]."
    )


def _tensors(inputs: object, accepted: str) -> tuple[Tensor, ...]:
    streams = inputs if isinstance(inputs, tuple) else (inputs,)
    other = [type(stream).__name__ for stream in streams if not isinstance(stream, Tensor)]
    if other or not streams:
        kind = f"a {other[0]}" if other else "an empty tuple"
        raise SaliencyError(f"inputs are or hold {kind}: give {accepted}, or a tuple of them.")
    return streams


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
        _check_rows("additional_forward_args", [argument for argument in rest if _by_row(argument)], batch)
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
        leaves = tuple(stream.detach().requires_grad_() for stream in embeds)
        scores = self(leaves, rows)
        return torch.autograd.grad(scores, leaves, torch.ones_like(scores)), scores.detach()

    def _at(self, rows: Int[Tensor, " copies"]) -> tuple[Any, tuple[Any, ...]]:
        """Target and arguments of copies of these rows."""
        arguments = tuple(
            _of_rows(argument, rows) if _by_row(argument) else argument for argument in self.arguments
        )
        return _of_rows(self.target, rows) if _differs(self.target) else self.target, arguments


def _by_row(argument: object) -> bool:
    """Whether an additional argument has a row for each row of the inputs."""
    return isinstance(argument, Tensor) and argument.dim() > 0


def _differs(target: object) -> bool:
    """Whether a target, in one of Captum's forms, has a value for each row."""
    return isinstance(target, list) or (isinstance(target, Tensor) and target.numel() != 1)


def _of_rows(values: Any, rows: Int[Tensor, " copies"]) -> Any:
    return (
        [values[row] for row in rows.tolist()] if isinstance(values, list) else values[rows.to(values.device)]
    )


def _check_rows(name: str, tensors: Sequence[Any], batch: int) -> None:
    for tensor in tensors:
        if len(tensor) != batch:
            raise SaliencyError(
                f"{name} has {len(tensor)} rows where the inputs have {batch}: it needs one for each, such as "
                "mask.expand(len(embeds), -1) for a mask of one row."
            )

"""SequentialIntegratedGradients: for each token a path on which that token alone moves, as a Captum attribution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from captum._utils.common import _format_output
from captum.attr import IntegratedGradients
from captum.log import log_usage
from jaxtyping import Float, Int
from torch import Tensor

from hf_saliency.attribution.gradient_norm import autograd
from hf_saliency.attribution.inputs import (
    PathAttribution,
    RowScores,
    baselines_of,
    check_internal_batch_size,
    check_quadrature,
    streams_of,
)
from hf_saliency.errors import whole


class SequentialIntegratedGradients(PathAttribution):
    r"""Integrated gradients of one token at a time, with the other tokens unchanged (Enguehard, 2023).

    .. math:: a_{ij} = (x_{ij} - \bar x_{ij}) \int_0^1
        \frac{\partial F(\bar x^i + \alpha (x - \bar x^i))}{\partial x_{ij}} \, d\alpha

    :math:`\bar x^i` is the text :math:`x` with token :math:`i` at its baseline. The attributions of one token
    add up to :math:`F(x) - F(\bar x^i)`, the loss of score if this token is replaced. Each token needs a call
    of Captum's ``IntegratedGradients`` on a copy of the text; a token that equals its baseline scores 0 and
    costs nothing. The paper divides the result by its norm; here it keeps the unit of the score. Captum's
    quadrature has weights in float32, so that a float64 result is exact to a relative 1e-7.

    Parameters
    ----------
    forward_func
        Function from embeddings (one tensor per stream) and additional arguments to scores (batch, ...).

    References
    ----------
    Enguehard, "Sequential integrated gradients: a simple but effective method for explaining language models",
    Findings of ACL, 2023, arXiv:2305.15853.

    Examples
    --------
    >>> import torch
    >>> product = SequentialIntegratedGradients(lambda e: e.prod(dim=1).sum(dim=1))
    >>> product.attribute(torch.tensor([[[2.0], [3.0], [4.0]]]), baselines=1.0)[0, :, 0]
    tensor([12., 16., 18.])
    """

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Float[Tensor, "batch *_ width"] | tuple[Float[Tensor, "batch *_ _"], ...],
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Attribute the score to each element of each token.

        Parameters
        ----------
        inputs
            Embeddings, (batch, tokens, width), or a tuple of them, one per stream. Each token of each stream has
            a separate path.
        baselines
            The start of the paths, in any form that Captum takes: a tensor like the inputs or with one row for
            all, or a number; a tuple of these for a tuple of inputs; None means 0.
        target
            The score to explain in each row, in any form that Captum takes; None if there is only one.
        additional_forward_args
            Arguments of ``forward_func`` after the embeddings; a tuple if there are several. Tensors have a row
            for each row of the inputs.
        n_steps
            Number of points on each token's path.
        method
            Captum's name for the rule of integration.
        internal_batch_size
            The largest number of rows in one call of ``forward_func``; None for batch x ``n_steps``, as in
            Captum's ``IntegratedGradients``.
        return_convergence_delta
            Whether to return the convergence delta as well.

        Returns
        -------
        Any
            Attributions in the form of the inputs, in float64 for float64 inputs and otherwise in float32. With the
            delta, a pair of these and a tensor (batch,).

        Raises
        ------
        SaliencyError
            If the inputs are not embeddings, the baselines do not fit them, the steps, the rule or the batch
            size are invalid, or the score does not depend on the inputs.
        """
        n_steps = whole(n_steps, "n_steps")
        check_quadrature(method, n_steps, "method")
        check_internal_batch_size(internal_batch_size)
        with autograd():
            copies = _Copies.of(self.forward_func, inputs, baselines, target, additional_forward_args)
            size = internal_batch_size or len(copies.streams[0]) * n_steps
            totals = self._totals(copies, n_steps, method, size)
            attributions = _format_output(isinstance(inputs, tuple), totals)
            return (attributions, _delta(totals, copies, size)) if return_convergence_delta else attributions

    def _totals(
        self, copies: _Copies, n_steps: int, method: str, size: int
    ) -> tuple[Float[Tensor, "batch ..."], ...]:
        """Compute the attributions of each stream."""
        totals = tuple(
            torch.zeros_like(stream, dtype=torch.promote_types(stream.dtype, torch.float32))
            for stream in copies.streams
        )
        gradients = IntegratedGradients(lambda *tensors: copies.score(tensors[:-1], tensors[-1]))
        places = copies.places()
        for part in torch.split(places, max(1, size // n_steps)) if len(places) else ():
            values = gradients.attribute(
                copies.texts(part),
                copies.starts(part),
                additional_forward_args=part[:, 1],
                n_steps=n_steps,
                method=method,
                internal_batch_size=size if n_steps > size else None,
            )
            for stream, (total, value) in enumerate(zip(totals, values, strict=True)):
                (members,) = (part[:, 0] == stream).nonzero(as_tuple=True)
                rows, tokens = part[members, 1], part[members, 2]
                _tokens(total)[rows, tokens] = _tokens(value)[members, tokens].to(total.dtype)
        return totals

    def compute_convergence_delta(
        self,
        attributions: Tensor | tuple[Tensor, ...],
        start_point: Any,
        end_point: Tensor | tuple[Tensor, ...],
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> Float[Tensor, " batch"]:
        r"""Compute each row's sum of attributions minus :math:`\sum_i F(x) - F(\bar x^i)`, which it approximates.

        Parameters
        ----------
        attributions
            The result of :meth:`attribute`.
        start_point
            The baselines.
        end_point
            The inputs.
        target
            As in :meth:`attribute`.
        additional_forward_args
            As in :meth:`attribute`.

        Returns
        -------
        Float[Tensor, " batch"]
            One number for each row, in the unit of the score.
        """
        streams = attributions if isinstance(attributions, tuple) else (attributions,)
        with autograd():
            copies = _Copies.of(self.forward_func, end_point, start_point, target, additional_forward_args)
            return _delta(streams, copies, len(copies.streams[0]))


@torch.no_grad()
def _delta(attributions: Sequence[Tensor], copies: _Copies, size: int) -> Float[Tensor, " batch"]:
    """Compute the convergence deltas, with at most ``size`` rows in a call."""
    delta = torch.stack([stream.reshape(len(stream), -1).sum(1) for stream in attributions]).sum(0)
    every = torch.arange(len(delta), device=delta.device)
    whole = [copies.score(tuple(s[rows] for s in copies.streams), rows) for rows in torch.split(every, size)]
    scores = torch.cat(whole).to(delta)
    places = copies.places()
    for part in torch.split(places, size) if len(places) else ():
        without = copies.score(copies.starts(part), part[:, 1]).to(delta)
        delta = delta.index_add(0, part[:, 1], without - scores[part[:, 1]])
    return delta


@dataclass(frozen=True)
class _Copies:
    """Copies of the text, one for each token that moves. The token of a copy is its place: (stream, row, token)."""

    score: RowScores
    streams: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]

    @classmethod
    def of(
        cls,
        forward_func: Callable[..., Tensor],
        inputs: object,
        baselines: object,
        target: Any,
        arguments: Any,
    ) -> _Copies:
        streams = streams_of(inputs)
        score = RowScores.of(forward_func, streams, target, arguments)
        return cls(score, streams, baselines_of(baselines, streams))

    def places(self) -> Int[Tensor, "copies 3"]:
        """List the places of all tokens that differ from their baseline."""
        moved = [(_tokens(x) != _tokens(x0)).any(-1).nonzero() for x, x0 in self._by_stream()]
        device = self.streams[0].device
        return torch.cat(
            [
                torch.cat([torch.full_like(pairs[:, :1], stream), pairs], dim=1).to(device)
                for stream, pairs in enumerate(moved)
            ]
        )

    def _by_stream(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.streams, self.baselines, strict=True)

    def texts(self, places: Int[Tensor, "copies 3"]) -> tuple[Tensor, ...]:
        """Return the whole text, once for each copy."""
        return tuple(stream[places[:, 1]] for stream in self.streams)

    def starts(self, places: Int[Tensor, "copies 3"]) -> tuple[Tensor, ...]:
        """Return the text of each copy, with its token at the baseline."""
        starts = []
        for index, (stream, baseline) in enumerate(self._by_stream()):
            start = _tokens(stream)[places[:, 1]]
            (members,) = (places[:, 0] == index).nonzero(as_tuple=True)
            rows, tokens = places[members, 1], places[members, 2]
            start[members, tokens] = _tokens(baseline)[rows, tokens]
            starts.append(start.reshape(len(places), *stream.shape[1:]))
        return tuple(starts)


def _tokens(stream: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch tokens width"]:
    """Flatten the tokens of a stream to one axis, including those of choices or windows with a separate axis."""
    return stream.reshape(len(stream), -1, stream.shape[-1])

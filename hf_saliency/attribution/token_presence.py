"""TokenPresence: any of Captum's perturbation methods, on tokens or words instead of embedding dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import Attribution, FeatureAblation, PerturbationAttribution
from captum.log import log_usage
from jaxtyping import Float, Int
from torch import Tensor

from hf_saliency.attribution.inputs import NoFutures, embeds_of
from hf_saliency.errors import SaliencyError


class TokenPresence(NoFutures, PerturbationAttribution):  # type: ignore[misc]
    """A perturbation method of Captum that removes whole tokens or groups of them.

    ``method`` makes Captum's object from a forward function of presences, (batch, features): 1 is present, 0 absent.
    """

    # Captum's method does not see embeddings: where a feature is absent, its baseline replaces its embeddings. So no
    # single embedding dimension is perturbed, features are never split, and tokens without a feature never change and
    # take no part in a regression.

    def __init__(
        self, forward_func: Callable[..., Tensor], method: Callable[[Callable[..., Tensor]], Attribution]
    ) -> None:
        PerturbationAttribution.__init__(self, forward_func)
        self.method = method

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Float[Tensor, "batch tokens width"] | tuple[Float[Tensor, "batch _ _"], ...],
        baselines: Float[Tensor, "_ tokens width"] | tuple[Float[Tensor, "_ _ _"], ...],
        feature_mask: Int[Tensor, "_ tokens"] | tuple[Int[Tensor, "_ _"], ...],
        target: Any = None,
        additional_forward_args: Any = None,
        **arguments: Any,
    ) -> Float[Tensor, "batch tokens"] | tuple[Float[Tensor, "batch _"], ...]:
        """Attribute the score to tokens; the tokens of a feature share its attribution evenly, others get zero.

        ``baselines`` and ``feature_mask`` may have one row for all. The mask numbers the features of each row 0, 1, ...
        and is negative for a token that is never absent. The streams of a tuple share the numbers.
        """
        streams = embeds_of(inputs)
        masks = _masks(feature_mask, streams)
        replaced = embeds_of(baselines)
        if len(replaced) == len(streams):
            pairs = zip(replaced, streams, strict=True)
            replaced = tuple(
                b.expand_as(s) if b.shape[1:] == s.shape[1:] and len(b) == 1 else b for b, s in pairs
            )
        if [b.shape for b in replaced] != [s.shape for s in streams]:
            raise SaliencyError(
                f"baselines of shape {[tuple(b.shape) for b in replaced]} for inputs of shape "
                f"{[tuple(s.shape) for s in streams]}: give the same."
            )
        extra = additional_forward_args
        extra = () if extra is None else extra if isinstance(extra, tuple) else (extra,)
        values = [stream.new_zeros(stream.shape[:2], dtype=_wide(stream)) for stream in streams]
        counts = torch.stack([mask.amax(dim=1) for mask in masks]).amax(dim=0) + 1
        for count in sorted(set(counts.tolist())):  # rows with equally many features, so none is padded
            if count == 0:
                continue
            rows = (counts == count).nonzero()[:, 0]
            row_masks = [mask[rows] for mask in masks]
            tensors = (*(s[rows] for s in streams), *(b[rows] for b in replaced), *row_masks)
            method = self.method if count > 1 else FeatureAblation  # exact for one feature, unlike samples
            options = arguments if count > 1 else {}
            forward = self._forward(len(streams))
            effects = method(_Known(forward) if len(rows) == 1 else forward).attribute(
                streams[0].new_ones(len(rows), count, dtype=_wide(streams[0])),
                target=_of(rows, target, len(streams[0])),
                additional_forward_args=(
                    *tensors,
                    *(_of(rows, argument, len(streams[0])) for argument in extra),
                ),
                **options,
            )
            if not isinstance(effects, Tensor) or tuple(effects.shape) != (len(rows), count):
                shape = tuple(effects.shape) if isinstance(effects, Tensor) else type(effects).__name__
                raise SaliencyError(
                    f"the perturbation method returned {shape}, but it must return shape {(len(rows), count)}: one "
                    f"number for each of {count} features in {len(rows)} rows."
                )
            sizes = torch.stack([_sizes(mask, count) for mask in row_masks]).sum(dim=0)
            for value, mask in zip(values, row_masks, strict=True):
                shares = (effects / sizes.clamp(min=1)).gather(1, mask.clamp(min=0))
                value[rows] = torch.where(mask >= 0, shares, 0).to(value)
        return tuple(values) if isinstance(inputs, tuple) else values[0]

    def _forward(self, count: int) -> Callable[..., Tensor]:
        """Make the score a function of the features that are present."""

        def score(presence: Tensor, *arguments: Any) -> Tensor:
            inputs, baselines, masks = (
                arguments[:count],
                arguments[count : 2 * count],
                arguments[2 * count : 3 * count],
            )
            embeds = []
            for stream, baseline, mask in zip(inputs, baselines, masks, strict=True):
                present = (presence.gather(1, mask.clamp(min=0)) > 0.5) | (mask < 0)
                embeds.append(torch.where(present[..., None], stream, baseline))
            return self.forward_func(*embeds, *arguments[3 * count :])  # type: ignore[no-any-return]

        return score


class _Known:
    """The score of one row's subsets, evaluated once each: few features have few subsets, which samples repeat."""

    def __init__(self, forward: Callable[..., Tensor]) -> None:
        self.forward = forward
        self.scores: dict[bytes, Tensor] = {}

    def __call__(self, presence: Tensor, *arguments: Any) -> Tensor:
        keys = [row.tobytes() for row in (presence > 0.5).cpu().numpy()]
        new: dict[bytes, int] = {}  # the first place of each subset without a known score
        for place, key in enumerate(keys):
            if key not in self.scores:
                new.setdefault(key, place)
        if new:
            rows = torch.tensor([*new.values()], device=presence.device)
            scores = self.forward(presence[rows], *(_of(rows, value, len(keys)) for value in arguments))
            if not isinstance(scores, Tensor) or scores.numel() != len(new):
                return self.forward(presence, *arguments)  # Captum refuses such scores
            self.scores.update(zip(new, scores.detach().flatten(), strict=True))
        return torch.stack([self.scores[key] for key in keys])


def _wide(stream: Tensor) -> torch.dtype:
    return torch.promote_types(stream.dtype, torch.float32)


def _masks(feature_mask: Any, streams: tuple[Tensor, ...]) -> list[Tensor]:
    masks = feature_mask if isinstance(feature_mask, tuple) else (feature_mask,)
    fits = len(masks) == len(streams) and all(
        isinstance(mask, Tensor)
        and not mask.is_floating_point()
        and mask.dim() == 2
        and len(mask) in (1, len(stream))
        and mask.shape[1] == stream.shape[1]
        for mask, stream in zip(masks, streams, strict=False)
    )
    if not fits:
        raise SaliencyError(
            "feature_mask must hold integers, one per token: shape (batch, tokens) for inputs (batch, tokens, "
            "width), or a tuple of them for a tuple of inputs."
        )
    return [mask.long().expand(len(stream), -1) for mask, stream in zip(masks, streams, strict=True)]


def _sizes(mask: Int[Tensor, "rows tokens"], count: int) -> Int[Tensor, "rows features"]:
    """Count the tokens of each feature."""
    sizes = torch.zeros(len(mask), count, dtype=torch.long, device=mask.device)
    return sizes.scatter_add_(1, mask.clamp(min=0), (mask >= 0).long())


def _of(rows: Tensor, value: Any, batch: int) -> Any:
    """Select the rows of an argument."""
    if isinstance(value, Tensor) and value.dim() and len(value) == batch:
        return value[rows.to(value.device)]
    if isinstance(value, list) and len(value) == batch:
        return [value[i] for i in rows.tolist()]
    return value

"""TokenPresence: Captum's perturbation methods on tokens and words."""

from __future__ import annotations

from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor

import hf_saliency as hs
from hf_saliency.attribution.context_mixing import AttentionRollout, ValueZeroing
from hf_saliency.attribution.named.chance import RandomAttribution
from hf_saliency.attribution.relevance_gradient import RelevanceGradient
from hf_saliency.attribution.token_presence import TokenPresence


def product(embeds: Tensor, scale: Tensor | None = None) -> Tensor:
    """A score that is not additive over tokens."""
    scores = (embeds.sum(dim=2) + 0.1).prod(dim=1)
    return scores if scale is None else scores * scale


def inputs(rows: int = 3, tokens: int = 5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    embeds = torch.rand(rows, tokens, 4, dtype=torch.float64)
    return embeds, torch.rand(rows, tokens, 4, dtype=torch.float64) / 4


def one_by_one(embeds: Tensor, baselines: Tensor, mask: Tensor, scale: Tensor) -> Tensor:
    expected = torch.zeros(embeds.shape[:2], dtype=torch.float64)
    for i in range(len(embeds)):
        whole = product(embeds[i : i + 1], scale[i : i + 1])
        for feature in set(mask[i].tolist()) - {-1}:
            tokens = mask[i] == feature
            changed = embeds[i].clone()
            changed[tokens] = baselines[i][tokens]
            expected[i, tokens] = (whole - product(changed[None], scale[i : i + 1])) / tokens.sum()
    return expected


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_ablation_row_by_row(at_once: int) -> None:
    embeds, baselines = inputs()
    mask = torch.tensor([[-1, 0, 1, 1, -1], [0, 1, 2, 3, 4], [-1, 0, -1, -1, -1]])
    scale = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    presence = TokenPresence(product, captum.attr.FeatureAblation)
    values = presence.attribute(
        embeds, baselines, mask, additional_forward_args=scale, perturbations_per_eval=at_once
    )
    torch.testing.assert_close(values, one_by_one(embeds, baselines, mask, scale), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("method", [captum.attr.KernelShap, captum.attr.ShapleyValueSampling])
def test_samples_of_one_row_evaluate_each_subset_once(method: Any) -> None:
    embeds, baselines = inputs(1, 3)
    seen = []

    def counted(embeds: Tensor) -> Tensor:
        seen.extend(row.numpy().tobytes() for row in embeds)
        return product(embeds)

    def plain(presence: Tensor) -> Tensor:
        return product(torch.where(presence[..., None] > 0.5, embeds, baselines))

    torch.manual_seed(1)
    np.random.seed(1)
    expected = method(plain).attribute(
        torch.ones(1, 3, dtype=torch.float64), n_samples=60, perturbations_per_eval=7
    )
    torch.manual_seed(1)
    np.random.seed(1)
    values = TokenPresence(counted, method).attribute(
        embeds, baselines, torch.tensor([[0, 1, 2]]), n_samples=60, perturbations_per_eval=7
    )
    torch.testing.assert_close(values.float(), expected, rtol=1e-6, atol=1e-9)
    assert len(seen) == len(set(seen)) <= 8


def test_one_mask_for_all_rows_and_rows_without_a_feature() -> None:
    embeds, baselines = inputs()
    mask = torch.tensor([[0, 1, 1, -1, 2]])
    presence = TokenPresence(product, captum.attr.FeatureAblation)
    expected = one_by_one(embeds, baselines, mask.expand(3, -1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(presence.attribute(embeds, baselines, mask), expected, rtol=1e-12, atol=1e-15)
    none = presence.attribute(embeds, baselines, torch.full((1, 5), -1))
    assert torch.equal(none, torch.zeros(3, 5, dtype=torch.float64))


def test_shapley_values_add_up_and_are_exact() -> None:
    embeds, baselines = inputs(1, 4)
    mask = torch.tensor([[0, 1, -1, 2]])
    values = TokenPresence(product, captum.attr.ShapleyValues).attribute(embeds, baselines, mask)
    empty = torch.where(mask[..., None] < 0, embeds, baselines)
    torch.testing.assert_close(values.sum(), (product(embeds) - product(empty))[0], rtol=1e-6, atol=0)
    assert values[0, 2] == 0


@pytest.mark.parametrize(
    "method", [captum.attr.KernelShap, captum.attr.Lime, captum.attr.ShapleyValueSampling]
)
def test_a_single_feature_needs_no_samples(method: Any) -> None:
    """Captum's KernelShap divides by zero if there is only one feature."""
    embeds, baselines = inputs(1)
    mask = torch.tensor([[-1, -1, 0, 0, -1]])
    values = TokenPresence(product, method).attribute(embeds, baselines, mask, n_samples=3)
    expected = one_by_one(embeds, baselines, mask, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=0)


def test_several_streams_share_features() -> None:
    embeds, baselines = inputs(1)
    other, other_baselines = embeds.flip(1), baselines.flip(1)

    def both(first: Tensor, second: Tensor) -> Tensor:
        return product(first) + 2 * product(second)

    masks = torch.tensor([[0, 1, -1, -1, -1]]), torch.tensor([[-1, 1, 2, -1, -1]])
    first, second = TokenPresence(both, captum.attr.FeatureAblation).attribute(
        (embeds, other), (baselines, other_baselines), masks
    )
    changed, changed_other = embeds.clone(), other.clone()
    changed[0, 1], changed_other[0, 1] = baselines[0, 1], other_baselines[0, 1]
    difference = both(embeds, other) - both(changed, changed_other)
    torch.testing.assert_close(first[0, 1], difference[0] / 2)
    torch.testing.assert_close(second[0, 1], difference[0] / 2)
    assert (first[0, 2:] == 0).all()


def test_it_runs_in_a_noise_tunnel() -> None:
    embeds, baselines = inputs(1)
    mask = torch.tensor([[0, 1, 2, 3, -1]])
    tunnel = captum.attr.NoiseTunnel(TokenPresence(product, captum.attr.FeatureAblation))
    values = tunnel.attribute(embeds, nt_samples=4, stdevs=1e-9, baselines=baselines, feature_mask=mask)
    expected = one_by_one(embeds, baselines, mask, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("baselines", "mask", "message"),
    [
        (torch.zeros(3, 5, 3), torch.zeros(3, 5, dtype=torch.long), "baselines of shape"),
        (torch.zeros(3, 5, 4), torch.zeros(3, 5), "feature_mask must hold integers"),
        (torch.zeros(3, 5, 4), torch.zeros(2, 5, dtype=torch.long), "feature_mask must hold integers"),
        (torch.zeros(3, 5, 4), torch.zeros(3, 4, dtype=torch.long), "feature_mask must hold integers"),
        (torch.zeros(3, 5, 4), None, "feature_mask must hold integers"),
    ],
)
def test_shapes_that_do_not_fit(baselines: Any, mask: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        TokenPresence(product, captum.attr.FeatureAblation).attribute(torch.ones(3, 5, 4), baselines, mask)


def test_there_are_no_futures() -> None:
    classes = (RandomAttribution, RelevanceGradient, AttentionRollout, ValueZeroing)
    for built in (TokenPresence(product, captum.attr.FeatureAblation), *(cls(product) for cls in classes)):
        with pytest.raises(NotImplementedError):
            built.attribute_future()

"""Common properties of the path attributions: rows, arguments, gradient modes, agreement with Captum, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from captum.attr import GradientAttribution, NoiseTunnel
from torch import Tensor, nn

from hf_saliency.attribution.adaptive import AdaptiveIntegratedGradients
from hf_saliency.attribution.discretized import DiscretizedIntegratedGradients
from hf_saliency.attribution.sequential import SequentialIntegratedGradients
from hf_saliency.errors import SaliencyError

EXACT = {"rtol": 1e-12, "atol": 1e-12}
TABLE = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

Build = Callable[[Callable[..., Any]], Any]
METHODS: dict[str, Build] = {
    "Adaptive Integrated Gradients": AdaptiveIntegratedGradients,
    "Discretized Integrated Gradients": lambda forward: DiscretizedIntegratedGradients(forward, TABLE),
    "Sequential Integrated Gradients": SequentialIntegratedGradients,
}
each = pytest.mark.parametrize("build", METHODS.values(), ids=[name.split()[0].lower() for name in METHODS])


def embeds_of(batch: int = 3, tokens: int = 4, width: int = 2) -> Tensor:
    return torch.randn(batch, tokens, width, dtype=torch.float64)


def steep(embeds: Tensor, *rest: object) -> Tensor:
    return torch.tanh(2 * embeds.sum((1, 2)) - 1) + embeds.sin().prod(2).sum(1)


class Reader(nn.Module):
    """A model from embeddings (batch, tokens, 2) and a mask to logits (batch, 2, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 6)
        self.double()

    def forward(self, embeds: Tensor, mask: Tensor, scale: float = 1.0) -> Tensor:
        return torch.tanh(self.head((embeds * mask[..., None]).sum(1)) * scale).reshape(-1, 2, 3)


@each
@pytest.mark.parametrize(
    ("flat", "target", "picked", "size"),
    [
        (True, 1, [1, 1, 1], 5),
        (True, torch.tensor(1), [1, 1, 1], 5),
        (True, torch.tensor([1]), [1, 1, 1], 5),
        *((True, torch.tensor([2, 0, 1]), [2, 0, 1], size) for size in (None, 1, 5, 10**6)),
        (True, [2, 0, 1], [2, 0, 1], 5),
        (False, (1, 2), [(1, 2)] * 3, 5),
        *((False, [(1, 2), (0, 0), (0, 1)], [(1, 2), (0, 0), (0, 1)], size) for size in (None, 1, 5, 10**6)),
    ],
)
def test_targets_and_arguments_belong_to_their_rows(
    build: Build, flat: bool, target: object, picked: list, size: int | None
) -> None:
    """Each row of a batch has the same attributions as alone, with a separate score."""
    reader, x, start = Reader(), embeds_of(), embeds_of()
    mask = torch.rand(3, 4, dtype=torch.float64)

    def forward(embeds: Tensor, mask: Tensor, scale: float) -> Tensor:
        logits = reader(embeds, mask, scale)
        return logits[:, 0] if flat else logits

    found, delta = build(forward).attribute(
        x, start, target, (mask, 0.7), internal_batch_size=size, return_convergence_delta=True
    )
    for row, index in enumerate(picked):
        place = (0, index) if flat else index

        def score(embeds: Tensor, row: int = row, place: tuple[int, int] = place) -> Tensor:
            return reader(embeds, mask[row : row + 1], 0.7)[(slice(None), *place)]

        alone, its = build(score).attribute(
            x[row : row + 1], start[row : row + 1], return_convergence_delta=True
        )
        assert alone.abs().max() > 1e-3
        torch.testing.assert_close(found[row], alone[0], **EXACT)
        torch.testing.assert_close(delta[row], its[0], **EXACT)


@each
def test_captums_convergence_delta_is_the_same(build: Build) -> None:
    x, start, method = embeds_of() * 3, embeds_of(), build(steep)
    found, delta = method.attribute(x, start, return_convergence_delta=True)
    torch.testing.assert_close(delta, method.compute_convergence_delta(found, start, x), **EXACT)
    one_row = method.attribute(x, start[:1])
    torch.testing.assert_close(one_row, method.attribute(x, start[:1].expand_as(x)), **EXACT)


@each
def test_an_input_at_its_baseline_is_zero(build: Build) -> None:
    x = embeds_of()
    found, delta = build(steep).attribute(x, x.clone(), return_convergence_delta=True)
    assert not found.any()
    assert not delta.any()
    start = embeds_of()
    start[:, 1] = x[:, 1]
    found = build(steep).attribute(x, start)
    assert not found[:, 1].any()
    assert found[:, 0].any()


@each
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradient_modes_of_the_caller_do_not_matter(build: Build, mode: Callable) -> None:
    reader, x, start = Reader(), embeds_of(), embeds_of()
    mask = torch.ones(3, 4, dtype=torch.float64)
    method = build(reader)
    expected = method.attribute(x, start, (0, 1), mask)
    reader.requires_grad_(False)
    with mode():
        found = method.attribute(x.clone(), start.clone(), (0, 1), mask.clone())
    assert not found.requires_grad
    torch.testing.assert_close(found, expected, **EXACT)


@each
def test_nothing_is_left_behind(build: Build) -> None:
    reader, x = Reader(), embeds_of().requires_grad_()
    method = build(reader)
    before = dict(vars(method))
    found = method.attribute(x, None, (0, 1), torch.ones(3, 4, dtype=torch.float64))
    assert vars(method) == before
    assert not found.requires_grad
    assert x.grad is None
    assert all(parameter.grad is None for parameter in reader.parameters())
    assert all(parameter.requires_grad for parameter in reader.parameters())


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(build: Build, dtype: torch.dtype) -> None:
    x, start = embeds_of().to(dtype), embeds_of().to(dtype)
    method = build(lambda e: (e * e).sum((1, 2)))
    found = method.attribute(x, start)
    assert found.dtype == torch.float32
    expected = method.attribute(x.double(), start.double())
    # a sum of about 30 to 50 terms, each rounded
    largest = 32 * torch.finfo(dtype).eps * float(expected.abs().max())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=largest)


@pytest.mark.parametrize("name", METHODS)
def test_what_captum_reads_off_the_class(name: str) -> None:
    method = METHODS[name](steep)
    assert isinstance(method, GradientAttribution)
    assert method.get_name() == name
    assert method.multiplies_by_inputs
    assert method.has_convergence_delta()
    assert method.attribute.__wrapped__
    with pytest.raises(NotImplementedError, match="no futures"):
        method.attribute_future()


@each
def test_noise_tunnel_averages(build: Build) -> None:
    x, start = embeds_of(), embeds_of()
    method = build(steep)
    still = NoiseTunnel(method).attribute(x, nt_samples=3, stdevs=0.0, baselines=start)
    torch.testing.assert_close(still, method.attribute(x, start), **EXACT)
    noisy, delta = NoiseTunnel(method).attribute(
        x, nt_samples=3, stdevs=0.5, baselines=start, return_convergence_delta=True
    )
    assert noisy.shape == x.shape
    assert delta.shape == (9,)
    assert not torch.allclose(noisy, still)


@each
@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"internal_batch_size": 0}, "internal_batch_size=0: .*at least 1"),
        ({"internal_batch_size": 2.0}, "internal_batch_size=2.0"),
        ({"baselines": torch.zeros(3, 5, 2)}, r"shape \(3, 5, 2\), but the embeddings are \(3, 4, 2\)"),
        ({"baselines": torch.zeros(2, 4, 2)}, r"torch.zeros_like\(embeds\)"),
        ({"baselines": "zero"}, "a baseline is a str"),
        ({"baselines": (0, 0)}, r"2 baseline\(s\) for 1 tensor\(s\)"),
        ({"additional_forward_args": torch.ones(1, 4)}, "additional_forward_args has 1 rows.*inputs have 3"),
        ({"target": [0, 1]}, "target has 2 rows"),
        ({"target": torch.tensor([0, 1])}, "target has 2 rows"),
        ({"inputs": torch.ones(3, 4, dtype=torch.long)}, "int64 are not embeddings"),
        ({"inputs": torch.ones(4, 2)}, r"shape \(4, 2\) are not embeddings"),
        ({"inputs": (torch.ones(3, 4, 2), torch.ones(2, 4, 2))}, "inputs has 2 rows where the inputs have 3"),
    ],
)
def test_what_does_not_fit_is_refused(build: Build, options: dict[str, object], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        build(steep).attribute(**{"inputs": torch.ones(3, 4, 2), **options})


@each
@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda e: {"logits": e}, "returned a dict.*wrap the model"),
        (lambda e: e.sum(), "returned a number"),
        (lambda e: e.sum(1), r"shape .* for .* rows.*target"),
        (lambda e: e.detach().sum((1, 2)), "does not depend on the embeddings"),
    ],
)
def test_what_is_no_score_is_refused(build: Build, forward: Callable[[Tensor], object], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        build(forward).attribute(torch.ones(3, 4, 2))

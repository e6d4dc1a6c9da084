"""AdaptiveIntegratedGradients against closed forms and a slow reference, and the points that it evaluates."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import tiny
import torch
from captum.attr import NoiseTunnel
from torch import Tensor

from hf_saliency.attribution.adaptive import AdaptiveIntegratedGradients
from hf_saliency.errors import SaliencyError

# The largest relative difference if all arithmetic is in float64 and only the order of operations differs.
EXACT = {"rtol": 1e-12, "atol": 1e-12}


class Recorder:
    """A forward function that records the rows of each call."""

    def __init__(self, forward: Callable[..., Tensor]) -> None:
        self.forward = forward
        self.calls: list[Tensor] = []

    def __call__(self, embeds: Tensor, *rest: object) -> Tensor:
        self.calls.append(embeds.detach().clone())
        return self.forward(embeds, *rest)

    @property
    def rows(self) -> Tensor:
        return torch.cat(self.calls)


def embeds_of(batch: int = 3, tokens: int = 4, width: int = 2) -> Tensor:
    return torch.randn(batch, tokens, width, dtype=torch.float64)


def steep(embeds: Tensor) -> Tensor:
    """A smooth score that is harder to integrate over longer paths."""
    return torch.tanh(2 * embeds.sum((1, 2)) - 1) + embeds.sin().prod(2).sum(1)


def reference(forward: Callable[[Tensor], Tensor], x: Tensor, start: Tensor, steps: int = 512) -> Tensor:
    """Integrated gradients by Gauss-Legendre quadrature in float64, one row at a time."""
    nodes, weights = (torch.from_numpy(one) for one in np.polynomial.legendre.leggauss(steps))
    rows = []
    for end, begin in zip(x, start, strict=True):
        points = begin + ((nodes + 1) / 2)[:, None, None] * (end - begin)
        points.requires_grad_()
        (gradients,) = torch.autograd.grad(forward(points).sum(), points)
        rows.append(torch.einsum("n,ntw->tw", weights / 2, gradients) * (end - begin))
    return torch.stack(rows)


# Closed forms


@pytest.mark.parametrize(("power", "evaluations"), [(1, 3), (2, 3), (3, 5), (4, 5)])
def test_polynomials_up_to_the_fourth_power_are_exact_at_once(power: int, evaluations: int) -> None:
    x, start = embeds_of(1), embeds_of(1)
    forward = Recorder(lambda e: e.pow(power).sum((1, 2)))
    found = AdaptiveIntegratedGradients(forward).attribute(x, start, tolerance=1e-12)
    torch.testing.assert_close(found, x**power - start**power, **EXACT)
    assert len(forward.rows) == evaluations


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8])
def test_an_exponential_is_as_exact_as_asked(tolerance: float) -> None:
    x, start = embeds_of() * 3, embeds_of()
    method = AdaptiveIntegratedGradients(lambda e: e.exp().sum((1, 2)))
    found, delta = method.attribute(x, start, tolerance=tolerance, return_convergence_delta=True)
    expected = x.exp() - start.exp()
    error = (found - expected).sum(2).abs().sum(1) / expected.sum(2).abs().sum(1)
    assert error.max() <= 2 * tolerance
    assert (delta.abs() / expected.sum((1, 2)).abs()).max() <= tolerance


def test_the_default_baseline_is_zero() -> None:
    x = embeds_of()
    found = AdaptiveIntegratedGradients(lambda e: e.pow(2).sum((1, 2))).attribute(x)
    torch.testing.assert_close(found, x**2, **EXACT)


# The sums


def sum_of(forward: Callable[[Tensor], Tensor], x: Tensor, start: Tensor, points: int) -> Tensor:
    """The estimate with this number of points, however large its error."""
    recorder = Recorder(forward)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = AdaptiveIntegratedGradients(recorder).attribute(x, start, tolerance=1e-300, max_steps=points)
    assert len(recorder.rows) == points * len(x)
    return found


def test_the_sums_converge_with_the_fourth_power_of_the_step() -> None:
    x, start = torch.ones(1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, dtype=torch.float64)

    def forward(embeds: Tensor) -> Tensor:
        return (1 / (1 + embeds)).sum((1, 2))

    errors = [float((sum_of(forward, x, start, 2**k + 1) + 0.5).abs().sum()) for k in (5, 6, 7)]
    for coarse, fine in itertools.pairwise(errors):
        assert 3.7 < math.log2(coarse / fine) < 4.3


def test_a_peak_inside_the_path_is_integrated_at_an_exponential_rate() -> None:
    x, start = torch.ones(1, 1, 1, dtype=torch.float64), -torch.ones(1, 1, 1, dtype=torch.float64)

    def forward(embeds: Tensor) -> Tensor:
        return torch.tanh(10 * embeds).sum((1, 2))

    error = [float((sum_of(forward, x, start, points).sum() - 2).abs()) for points in (9, 17, 33)]
    assert error[1] < error[0] ** 2
    assert error[2] < 2 * error[1] ** 2


@pytest.mark.parametrize("points", [3, 5, 9, 17])
def test_the_sum_is_gregorys(points: int) -> None:
    x, start = embeds_of(), embeds_of()
    weights = np.ones(points)
    weights[0] -= 0.5
    weights[-1] -= 0.5
    for near, correction in enumerate((-1 / 8, 1 / 6, -1 / 24)):
        weights[near] += correction
        weights[-1 - near] += correction
    expected = torch.zeros_like(x)
    for fraction, weight in zip(np.linspace(0, 1, points), weights / (points - 1), strict=True):
        point = (start + fraction * (x - start)).requires_grad_()
        expected += weight * torch.autograd.grad(steep(point).sum(), point)[0] * (x - start)
    torch.testing.assert_close(sum_of(steep, x, start, points), expected, **EXACT)


def test_a_language_model_against_many_steps() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    ids = torch.tensor([tokenizer("the cat sat on a mat")["input_ids"]] * 3)
    positions = [1, 3, 5]
    embedding = model.get_input_embeddings()
    x = embedding(ids).detach()
    start = x.clone()
    start[:, 1:-1] = embedding.weight.detach()[tokenizer.mask_token_id]
    targets = [(position, int(ids[0, position])) for position in positions]
    method = AdaptiveIntegratedGradients(lambda e: model(inputs_embeds=e).logits)
    for tolerance in (1e-2, 1e-3, 1e-5):
        found, delta = method.attribute(
            x, start, targets, tolerance=tolerance, internal_batch_size=64, return_convergence_delta=True
        )
        for row, (position, index) in enumerate(targets):
            expected = reference(
                lambda e, p=position, i=index: model(inputs_embeds=e).logits[:, p, i],
                x[row : row + 1],
                start[row : row + 1],
            )[0]
            error = (found[row] - expected).sum(1).abs().sum() / expected.sum(1).abs().sum()
            assert error < 4 * tolerance  # of the same order of magnitude
            assert delta[row].abs() <= tolerance * expected.sum(1).abs().sum()


# The points that are evaluated


def test_no_point_is_evaluated_twice_and_the_ends_are_the_very_ends() -> None:
    x, start = embeds_of(1), embeds_of(1)
    forward = Recorder(steep)
    AdaptiveIntegratedGradients(forward).attribute(x, start, tolerance=1e-8)
    assert [len(call) for call in forward.calls[:4]] == [3, 2, 4, 8]
    assert len(forward.rows.flatten(1).unique(dim=0)) == len(forward.rows)
    assert torch.equal(forward.calls[0][0], start[0])
    assert torch.equal(forward.calls[0][2], x[0])


def test_each_row_takes_the_steps_that_it_needs() -> None:
    x = embeds_of(1).expand(4, -1, -1) * torch.tensor([0.0, 0.01, 1.0, 20.0])[:, None, None]
    forward = Recorder(lambda e, row: steep(e) + 0 * row)
    numbers = torch.arange(4.0)
    seen: list[Tensor] = []

    def noting(embeds: Tensor, row: Tensor) -> Tensor:
        seen.append(row)
        return forward(embeds, row)

    together, delta = AdaptiveIntegratedGradients(noting).attribute(
        x, 0.0, None, numbers, tolerance=1e-4, return_convergence_delta=True
    )
    counts = torch.cat(seen).int().bincount().tolist()
    assert counts[0] == 3
    assert counts == sorted(counts)
    assert len(set(counts)) >= 3
    for row, count in enumerate(counts):
        forward.calls.clear()
        alone, alone_delta = AdaptiveIntegratedGradients(forward).attribute(
            x[row : row + 1], 0.0, None, numbers[row], tolerance=1e-4, return_convergence_delta=True
        )
        assert len(forward.rows) == count
        torch.testing.assert_close(together[row], alone[0], **EXACT)
        torch.testing.assert_close(delta[row], alone_delta[0], **EXACT)


@pytest.mark.parametrize("size", [1, 4, 7, 1000])
def test_internal_batch_size_bounds_the_calls_and_changes_nothing(size: int) -> None:
    x, start = embeds_of(5) * torch.arange(1, 6)[:, None, None], embeds_of(5)
    expected = AdaptiveIntegratedGradients(steep).attribute(x, start, tolerance=1e-5)
    forward = Recorder(steep)
    found = AdaptiveIntegratedGradients(forward).attribute(x, start, tolerance=1e-5, internal_batch_size=size)
    assert max(map(len, forward.calls)) <= size
    torch.testing.assert_close(found, expected, **EXACT)


# When a row is done


def test_a_delta_that_is_zero_by_accident_is_not_enough() -> None:
    x = torch.ones(1, 2, 1, dtype=torch.float64)
    method = AdaptiveIntegratedGradients(lambda e: (torch.tanh(8 * e[:, 0]) - torch.tanh(8 * e[:, 1])).sum(1))
    found, delta = method.attribute(x, -x, tolerance=1e-3, return_convergence_delta=True)
    assert delta.abs().max() == 0
    torch.testing.assert_close(found[0, :, 0], torch.tensor([2.0, -2.0]).double(), rtol=1e-3, atol=0.0)


@pytest.mark.filterwarnings("ignore:.* rows did not reach:RuntimeWarning")
def test_an_error_that_falls_slowly_takes_a_smaller_change() -> None:
    kinks = torch.arange(1, 40, dtype=torch.float64) / 40 + 0.004
    x = torch.ones(39, 2, 1, dtype=torch.float64)
    method = AdaptiveIntegratedGradients(
        lambda e, kink: (e[:, 0, 0] - kink).relu() - (e[:, 1, 0] - kink).relu()
    )
    found = method.attribute(x, 0, None, kinks, tolerance=1e-3)
    assert ((found[:, 0, 0] - (1 - kinks)).abs() / (1 - kinks)).mean() < 5e-3


@pytest.mark.parametrize(
    ("most", "evaluations"), [(3, 3), (4, 3), (5, 5), (8, 5), (9, 9), (32, 17), (33, 33)]
)
def test_a_row_takes_at_most_max_steps(most: int, evaluations: int) -> None:
    x = torch.full((1, 1, 1), 2000.0, dtype=torch.float64)
    forward = Recorder(lambda e: e.sin().sum((1, 2)))
    with pytest.warns(RuntimeWarning, match=f"max_steps={most} "):
        AdaptiveIntegratedGradients(forward).attribute(x, max_steps=most)
    assert len(forward.rows) == evaluations


def test_tokens_that_cancel_are_measured_by_their_magnitudes() -> None:
    x = torch.tensor([[[1.0], [1.0]]], dtype=torch.float64)
    method = AdaptiveIntegratedGradients(lambda e: (e[:, 0].exp() - (math.e - 1) * e[:, 1].square()).sum(1))
    found, delta = method.attribute(x, 0, tolerance=1e-3, return_convergence_delta=True)
    assert 0 < delta.abs().max() <= 1e-3 * 0.01 * 2 * (math.e - 1) * 1.01
    torch.testing.assert_close(found[0, 0, 0], torch.tensor(math.e - 1).double(), rtol=1e-3, atol=0.0)


def test_an_input_at_its_baseline_has_zeros() -> None:
    x = embeds_of()
    found, delta = AdaptiveIntegratedGradients(steep).attribute(x, x, return_convergence_delta=True)
    assert torch.equal(found, torch.zeros_like(x))
    assert torch.equal(delta, torch.zeros(3).double())


def test_rows_that_do_not_converge_keep_the_last_sum_and_are_named_once() -> None:
    x = torch.ones(3, 1, 1, dtype=torch.float64) * torch.tensor([1.0, 2000.0, 3000.0])[:, None, None]
    forward = Recorder(lambda e: e.sin().sum((1, 2)))
    with pytest.warns(RuntimeWarning) as caught:
        found, delta = AdaptiveIntegratedGradients(forward).attribute(
            x, max_steps=40, return_convergence_delta=True
        )
    assert len(caught) == 1
    relative = delta.abs() / x[:, 0, 0].sin().abs().maximum(0.01 * found[:, 0, 0].abs())
    message = str(caught[0].message)
    assert "2 of 3 rows did not reach tolerance=0.001 in max_steps=40" in message
    assert f"largest relative convergence delta is {relative.max():.1e}. Raise max_steps or tol" in message
    torch.testing.assert_close(found[0, 0, 0], x[0, 0, 0].sin(), rtol=1e-3, atol=0.0)
    expected = sum_of(lambda e: e.sin().sum((1, 2)), x[1:], torch.zeros_like(x[1:]), 33)
    torch.testing.assert_close(found[1:], expected, **EXACT)


@pytest.mark.usefixtures("unchecked_types")  # wrappers that check types would be the caller
def test_the_warning_points_at_the_caller() -> None:
    with pytest.warns(RuntimeWarning, match="1 of 1 rows") as caught:
        AdaptiveIntegratedGradients(steep).attribute(embeds_of(1), max_steps=3, tolerance=1e-9)
    assert caught[0].filename == __file__


def test_a_row_that_is_not_finite_costs_no_more_than_three_gradients() -> None:
    x = torch.tensor([1.0, 4.0], dtype=torch.float64)[:, None, None]
    forward = Recorder(lambda e: e.sqrt().sum((1, 2)))  # an infinite slope at 0
    with pytest.warns(RuntimeWarning, match="1 of 2 rows"):
        found = AdaptiveIntegratedGradients(forward).attribute(x, torch.tensor([[[0.0]], [[1.0]]]).double())
    assert not found[0].isfinite().any()
    torch.testing.assert_close(found[1, 0, 0], torch.tensor(1.0).double(), rtol=1e-3, atol=0.0)
    assert (forward.rows < 1).sum() == 2  # the start and the middle


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_stops_at_the_rounding_of_the_scores(dtype: torch.dtype) -> None:
    x, start = embeds_of().to(dtype), embeds_of().to(dtype)
    forward = Recorder(lambda e: 100 + steep(e))
    found = AdaptiveIntegratedGradients(forward).attribute(x, start, max_steps=129)
    assert found.dtype is torch.float32
    expected = reference(steep, x.double(), start.double())
    error = (found - expected).sum(2).abs().sum(1) / expected.sum(2).abs().sum(1)
    assert error.max() < {torch.bfloat16: 3e-2, torch.float16: 5e-3, torch.float32: 1e-3}[dtype]


def test_tokens_too_small_to_be_seen_in_the_score_cost_no_more_than_three_gradients() -> None:
    x = embeds_of().float()
    forward = Recorder(lambda e: 100 + 1e-8 * (100 * e).sin().sum((1, 2)))
    found = AdaptiveIntegratedGradients(forward).attribute(x)
    assert len(forward.rows) == 9
    assert found.abs().max() < 1e-5


# Streams, and Captum's classes around the method


def test_streams_share_the_path() -> None:
    first, second = embeds_of(), embeds_of(3, 2, 5)
    begin = embeds_of(1)

    def forward(e: Tensor, f: Tensor) -> Tensor:
        return torch.tanh(e.sum((1, 2)) / 9 * f.sum((1, 2)))

    found, delta = AdaptiveIntegratedGradients(forward).attribute(
        (first, second), (begin, 0.5), tolerance=1e-10, return_convergence_delta=True
    )

    def joined(flat: Tensor) -> Tensor:
        return forward(flat[:, 0, :8].reshape(-1, 4, 2), flat[:, 0, 8:].reshape(-1, 2, 5))

    x = torch.cat([first.flatten(1), second.flatten(1)], 1)[:, None]
    start = torch.cat([begin.expand(3, -1, -1).flatten(1), torch.full((3, 10), 0.5).double()], 1)[:, None]
    expected = reference(joined, x, start)
    assert isinstance(found, tuple)
    torch.testing.assert_close(found[0].flatten(1), expected[:, 0, :8], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found[1].flatten(1), expected[:, 0, 8:], rtol=1e-7, atol=1e-9)
    gain = forward(first, second) - joined(start)
    torch.testing.assert_close(delta, sum(one.sum((1, 2)) for one in found) - gain, **EXACT)


def test_captums_convergence_delta_is_the_same() -> None:
    x, start = embeds_of() * 3, embeds_of()
    method = AdaptiveIntegratedGradients(steep)
    found, delta = method.attribute(x, start, tolerance=1e-2, return_convergence_delta=True)
    assert delta.abs().max() > 0
    torch.testing.assert_close(delta, method.compute_convergence_delta(found, start, x), **EXACT)


def test_noise_tunnel_averages() -> None:
    x, start = embeds_of(), embeds_of()
    method = AdaptiveIntegratedGradients(steep)
    still = NoiseTunnel(method).attribute(x, nt_samples=3, stdevs=0.0, baselines=start)
    torch.testing.assert_close(still, method.attribute(x, start), **EXACT)
    noisy, delta = NoiseTunnel(method).attribute(
        x, nt_samples=3, stdevs=0.5, baselines=start, return_convergence_delta=True
    )
    assert noisy.shape == x.shape
    assert delta.shape == (9,)
    assert not torch.allclose(noisy, still)


# Errors


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0}, "tolerance=0: give a positive number, such as tolerance=1e-3"),
        ({"tolerance": -1e-3}, "tolerance=-0.001"),
        ({"tolerance": math.nan}, "tolerance=nan"),
        ({"tolerance": "1e-3"}, "tolerance='1e-3'"),
        ({"tolerance": True}, "tolerance=True"),
        ({"max_steps": 2}, "max_steps=2: give a whole number of at least 3"),
        ({"max_steps": 50.0}, "max_steps=50.0"),
    ],
)
def test_what_does_not_exist_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        AdaptiveIntegratedGradients(steep).attribute(torch.ones(3, 4, 2), **options)

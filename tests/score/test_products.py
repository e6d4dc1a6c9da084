"""Products: oneDNN returns the same numbers, and receives only plain float32 matrices on a CPU."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs
from hf_saliency.score import products
from hf_saliency.score.products import Products

TEXT = "the cat sat on a mat"
EVERY = Products({False: 0, True: 0})

pytestmark = pytest.mark.skipif(not products._available(), reason="this PyTorch has no oneDNN")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The sizes of the products that oneDNN has computed."""
    sizes: list[tuple[int, ...]] = []
    linear = products._linear

    def note(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
        sizes.append((*left.shape, right.shape[1]))
        return linear(left, right, bias)

    monkeypatch.setattr(products, "_linear", note)
    return sizes


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
@pytest.mark.parametrize(
    "method", [hs.gradient_norm(), hs.integrated_gradients(n_steps=40)], ids=["norm", "path"]
)
def test_a_masked_sweep_has_the_same_scores(family: str, method: Any, taken: list[tuple[int, ...]]) -> None:
    model, tokenizer = tiny.masked_lm(family)
    model = model.float()
    plain = hs.Explainer(model, tokenizer, fast_products=False)(TEXT, method=method)
    assert not taken
    fast = hs.Explainer(model, tokenizer, fast_products=True)(TEXT, method=method)
    assert len(taken) > 10
    assert np.abs(fast.scores - plain.scores).max() <= 1e-6 * np.abs(plain.scores).max()
    assert fast.provenance["products"] == "oneDNN"
    assert "products" not in plain.provenance


def test_unmasked_targets_that_share_a_pass_have_the_same_scores(taken: list[tuple[int, ...]]) -> None:
    model, tokenizer = tiny.model("causal", "gpt2")
    model = model.float()
    plain = hs.Explainer(model, tokenizer, fast_products=False)(TEXT)
    fast = hs.Explainer(model, tokenizer, fast_products=True)(TEXT)
    assert taken
    assert np.abs(fast.scores - plain.scores).max() <= 1e-6 * np.abs(plain.scores).max()


def test_float64_is_left_alone(taken: list[tuple[int, ...]]) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    plain = hs.Explainer(model, tokenizer, fast_products=False)(TEXT)
    fast = hs.Explainer(model, tokenizer, fast_products=True)(TEXT)
    assert not taken
    assert np.array_equal(fast.scores, plain.scores)


class Counted(Tensor):
    """A user's tensor class, whose products must not change."""


ROW = torch.randn(3, 4)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (ROW.double(), torch.randn(4, 5).double()),
        (ROW.bfloat16(), torch.randn(4, 5).bfloat16()),
        (ROW.as_subclass(Counted), torch.randn(4, 5)),
        (ROW, nn.Parameter(torch.randn(4, 5).as_subclass(Counted))),
        (ROW.to_sparse(), torch.randn(4, 5)),
        (torch.randn(4, 3).t(), torch.randn(4, 5)),
        (ROW, torch.randn(4, 10)[:, ::2]),
        (torch.randn(1, 4).expand(3, 4), torch.randn(4, 5)),
        (ROW, torch.randn(1, 5).expand(4, 5)),
        (torch.randn(0, 4), torch.randn(4, 5)),
        (torch.randn(3, 4, device="meta"), torch.randn(4, 5, device="meta")),
    ],
    ids="float64 bfloat16 subclass parameter sparse transposed strided rows columns empty meta".split(),
)
def test_what_is_no_plain_product_is_left_alone(
    left: Tensor, right: Tensor, taken: list[tuple[int, ...]]
) -> None:
    expected = torch.mm(left, right)
    with EVERY.entered():
        result = torch.mm(left, right)
    assert not taken
    assert type(result) is type(expected)
    assert result.shape == expected.shape
    if left.device.type == "cpu":
        assert torch.equal(torch.as_tensor(result), torch.as_tensor(expected))


def test_a_scaled_sum_is_left_alone(taken: list[tuple[int, ...]]) -> None:
    bias, right = torch.randn(5), torch.randn(4, 5)
    with EVERY.entered():
        scaled = torch.addmm(bias, ROW, right, beta=2, alpha=3)
        matrix = torch.addmm(torch.ones(3, 5), ROW, right)
    assert not taken
    torch.testing.assert_close(scaled, 2 * bias + 3 * (ROW @ right))
    torch.testing.assert_close(matrix, 1 + ROW @ right)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bias", [None, torch.randn(5)], ids=["mm", "addmm"])
def test_either_storage_with_and_without_a_bias(
    transposed: bool, bias: Tensor | None, taken: list[tuple[int, ...]]
) -> None:
    right = torch.randn(5, 4).t() if transposed else torch.randn(4, 5)
    with EVERY.entered():
        result = torch.mm(ROW, right) if bias is None else torch.addmm(bias, ROW, right)
    assert taken == [(3, 4, 5)]
    expected = ROW.double() @ right.double() + (0 if bias is None else bias.double())
    torch.testing.assert_close(result, expected.float(), rtol=1e-6, atol=1e-6)


def test_small_products_stay_where_a_calibration_found_large_ones_faster(
    taken: list[tuple[int, ...]],
) -> None:
    some = Products({False: 20 * 8 * 8})
    with some.entered():
        torch.mm(torch.randn(19, 8), torch.randn(8, 8))
        torch.mm(torch.randn(20, 8), torch.randn(8, 8))
        torch.mm(torch.randn(20, 8), torch.randn(8, 8).t())
        torch.mm(torch.randn(2, 80), torch.randn(80, 80))
    assert taken == [(20, 8, 8)]


def test_an_error_of_onednn_gives_the_default_product(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*operands: Any) -> Tensor:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(products, "_linear", fail)
    right = torch.randn(4, 5)
    expected = torch.mm(ROW, right)
    with EVERY.entered():
        assert torch.equal(torch.mm(ROW, right), expected)


def test_batched_vector_jacobian_products_and_checkpoints(taken: list[tuple[int, ...]]) -> None:
    layer = nn.Linear(4, 4)
    inputs = torch.randn(3, 4, requires_grad=True)

    def gradients() -> Tensor:
        hidden = torch.utils.checkpoint.checkpoint(layer, inputs, use_reentrant=False).tanh()
        output = layer(hidden)
        (batched,) = torch.autograd.grad(
            output, inputs, torch.eye(12).reshape(12, 3, 4), is_grads_batched=True
        )
        return batched

    def jacobian() -> Tensor:
        return torch.func.vmap(torch.func.jacrev(lambda row: layer(layer(row[None]).tanh())[0]))(inputs)

    expected = gradients(), jacobian()
    assert not taken
    with EVERY.entered():
        result = gradients(), jacobian()
    assert taken
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)


def test_another_thread_is_left_alone(taken: list[tuple[int, ...]]) -> None:
    def elsewhere() -> None:
        torch.mm(ROW, ROW.t())

    with EVERY.entered():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert not taken
        with EVERY.entered():  # leaving the inner one keeps the outer one on
            pass
        torch.mm(ROW, ROW.t())
    assert len(taken) == 1
    torch.mm(ROW, ROW.t())
    assert len(taken) == 1


def test_a_compiled_part_of_a_model_runs(taken: list[tuple[int, ...]]) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    model = model.float()
    plain = hs.Explainer(model, tokenizer, fast_products=False)(TEXT)
    model.bert.encoder.layer[0] = torch.compile(model.bert.encoder.layer[0], backend="eager")
    fast = hs.Explainer(model, tokenizer, fast_products=True)(TEXT)
    assert taken
    assert np.abs(fast.scores - plain.scores).max() <= 1e-6 * np.abs(plain.scores).max()


def test_a_calibration_is_done_once_and_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    products._calibration.cache_clear()
    monkeypatch.setattr(products, "_busy", lambda: False)  # tests run side by side
    state = torch.random.get_rng_state()
    ratios = products.calibration(1)
    assert set(ratios) == {(m * k * n, kind) for m, k, n in products.SIZES for kind in (False, True)}
    assert min(ratios.values()) > 0  # the results agree
    assert torch.equal(state, torch.random.get_rng_state())
    monkeypatch.setattr(products, "_ratio", None)
    assert products.calibration(1) is ratios


def test_what_a_calibration_finds_faster() -> None:
    small, large = 10, 20
    assert products._faster({(10, False): 2.0, (20, False): 2.0, (10, True): 2.0, (20, True): 1.0}) == {
        False: small
    }
    assert products._faster({(10, False): 0.5, (20, False): 2.0, (10, True): 1.04, (20, True): 1.04}) == {
        False: large
    }
    assert products._faster({(10, True): 1.05, (20, True): 1.05}) == {True: small}


def test_a_busy_machine_keeps_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other take 8 ms in any product by MKL, and 4 ms by oneDNN."""
    products._calibration.cache_clear()
    monkeypatch.setattr(
        products, "_seconds", lambda product, *operands: 8e-3 if product is torch.mm else 4e-3
    )
    try:
        assert set(products.calibration(2).values()) == {0.0}
        assert products._faster(products.calibration(2)) == {}
    finally:
        products._calibration.cache_clear()


def test_the_time_of_the_mode_counts_for_small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {torch.mm: 2e-4, products._linear: 1e-4}  # twice as fast, not counting the mode
    monkeypatch.setattr(products, "_seconds", lambda product, *operands: times[product])
    assert products._ratio(2, 3, 4, False) == pytest.approx(2e-4 / (1e-4 + products.MODE))
    times.update({product: 1000 * seconds for product, seconds in times.items()})
    assert products._ratio(2, 3, 4, False) == pytest.approx(2, rel=1e-3)


def test_without_a_choice_it_is_on_where_it_is_faster_and_matrices_are_wide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "calibration", lambda threads: {(10, False): 2.0, (10, True): 1.0})
    wide = nn.Sequential(nn.Linear(256, 256))
    assert Products.of(wide) == Products({False: 10})
    assert not Products.of(wide.double())
    assert not Products.of(nn.Sequential(nn.Linear(255, 4096), nn.Embedding(1000, 1000)))
    torch._C._set_mkldnn_enabled(False)
    try:
        assert not Products.of(wide.float(), True)
    finally:
        torch._C._set_mkldnn_enabled(True)


def test_lower_precision_is_never_taken_silently() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert not Products.of(nn.Linear(256, 256), True)
    finally:
        torch.set_float32_matmul_precision(before)
    assert Products.of(nn.Linear(256, 256), True)


def test_the_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, choice in {"1": True, "0": False, "": None}.items():
        monkeypatch.setenv(products.VARIABLE, said)
        assert products.switch(None) is choice
        assert products.switch(True) is True
        assert products.switch(False) is False
    monkeypatch.setenv(products.VARIABLE, "yes")
    with pytest.raises(hs.SaliencyError, match="HF_SALIENCY_FAST_PRODUCTS='yes'.*0 or 1"):
        hs.Explainer(*tiny.masked_lm("bert"))
    with pytest.raises(hs.SaliencyError, match="fast_products='on': give True, False, or None"):
        hs.Explainer(*tiny.masked_lm("bert"), fast_products="on")  # type: ignore[arg-type]


def test_a_failed_explanation_leaves_the_mode() -> None:
    with warnings.catch_warnings(), pytest.raises(ZeroDivisionError), EVERY.entered():
        raise ZeroDivisionError
    assert torch._C._len_torch_dispatch_stack() == 0

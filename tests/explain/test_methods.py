"""Methods through the explainer: batches, budgets, seeds, deltas, passes, and an unchanged model."""

from __future__ import annotations

import functools
import random
import threading
from typing import Any

import numpy as np
import pytest
import tiny
import torch

import hf_saliency as hs
from hf_saliency.attribution.registry import METHODS, as_method

pytestmark = pytest.mark.filterwarnings("ignore:.*do not add up:RuntimeWarning")

TEXT = "the cat learned it !"
TEXTS = [TEXT, "the dog ran to a mat", "it was grammar , not music , she learned"]

# Few steps and samples, but more than fit into one batch.
METHOD: dict[str, hs.Method] = {
    "gradient_norm": hs.gradient_norm(),
    "saliency": hs.saliency(),
    "input_x_gradient": hs.input_x_gradient(),
    "ln_freeze": hs.ln_freeze(),
    "cp_lrp": hs.cp_lrp(),
    "attn_lrp": hs.attn_lrp(),
    "gim": hs.gim(),
    "integrated_gradients": hs.integrated_gradients(5),
    "tolerance": hs.integrated_gradients(tolerance=1e-4),
    "sequential_integrated_gradients": hs.sequential_integrated_gradients(3),
    "discretized_integrated_gradients": hs.discretized_integrated_gradients(4),
    "gradient_shap": hs.gradient_shap(5, noise_level=0.1),
    "smooth_grad": hs.smooth_grad(n_samples=3),
    "smooth_grad_squared": hs.smooth_grad_squared(hs.gradient_norm(), n_samples=3),
    "var_grad": hs.var_grad(hs.integrated_gradients(3), n_samples=3),
    "occlusion": hs.occlusion(2),
    "leave_one_out": hs.leave_one_out(feature="word"),
    "shapley_sampling": hs.shapley_sampling(2),
    "kernel_shap": hs.kernel_shap(25),
    "lime": hs.lime(25),
    "value_zeroing": hs.value_zeroing(),
    "attention_rollout": hs.attention_rollout(),
    "random_baseline": hs.random_baseline(),
}


@functools.cache
def explainer(batch_tokens: int | None = None, family: str = "bert") -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm(family), progress=False, batch_tokens=batch_tokens)


def same(a: hs.SaliencyMap, b: hs.SaliencyMap, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(a.scores, b.scores, rtol=0, atol=rtol * np.abs(b.scores).max())
    if b.convergence_delta is not None:
        np.testing.assert_allclose(a.convergence_delta, b.convergence_delta, rtol=0, atol=1e-9)


def tolerance(name: str) -> float:
    """The tolerance for a method; some of Captum's fits and sums are in float32."""
    return 1e-5 if name in ("kernel_shap", "lime", "shapley_sampling") else 1e-9


@pytest.mark.parametrize("name", METHOD)
def test_batched_equals_single(name: str) -> None:
    maps = explainer()(TEXTS, method=METHOD[name])
    for text, heat in zip(TEXTS, maps, strict=True):
        same(explainer()(text, method=METHOD[name]), heat, tolerance(name))
        last = len(heat.targets) - 1
        one = explainer()(text, target=hs.MaskedToken(heat.targets[last].position), method=METHOD[name])
        same(one, heat.select(last), tolerance(name))


@pytest.mark.parametrize("name", METHOD)
def test_the_budget_of_tokens_changes_nothing(name: str) -> None:
    expected = explainer()(TEXT, method=METHOD[name])
    for batch_tokens in (1, 20, 50):
        same(explainer(batch_tokens)(TEXT, method=METHOD[name]), expected, tolerance(name))


@pytest.mark.parametrize("name", METHOD)
def test_no_pass_holds_more_than_the_budget(name: str) -> None:
    sizes = []
    one = explainer(40)
    hook = one.text_model.streams[0].module.register_forward_hook(
        lambda module, arguments, output: (
            sizes.append(output.shape[:-1].numel()) if output.dim() == 3 else None
        )
    )
    try:
        one(TEXT, method=METHOD[name])
    finally:
        hook.remove()
    assert max(sizes) <= max(40, 8 * 6)  # the batch itself is embedded once, without a pass


@pytest.mark.parametrize("name", [name for name, method in METHOD.items() if method.seed is not None])
def test_sampling_repeats_and_depends_on_the_seed(name: str) -> None:
    import dataclasses

    first = explainer()(TEXT, method=METHOD[name])
    assert explainer()(TEXT, method=METHOD[name]) == first
    other = explainer()(TEXT, method=dataclasses.replace(METHOD[name], seed=1))
    assert np.abs(other.scores - first.scores).max() > 1e-6


@pytest.mark.parametrize("name", METHOD)
def test_everything_is_left_as_it_was(name: str) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    model.train()
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    expected = torch.rand(()), np.random.rand(), random.random()
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    hs.Explainer(model, tokenizer, progress=False)(TEXT, target=hs.MaskedToken("cat"), method=METHOD[name])
    assert (torch.rand(()), np.random.rand(), random.random()) == expected
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("name", METHOD)
def test_passes_are_as_stated(name: str) -> None:
    method = METHOD[name]
    if method.passes is None:
        pytest.skip("its passes depend on the text")
    counts = {"forward": 0, "backward": 0}
    one = explainer()
    head = one.text_model.model.cls

    def forward(module: Any, arguments: Any, output: torch.Tensor) -> None:
        counts["forward"] += len(output)
        if output.requires_grad:
            output.register_hook(
                lambda gradient: counts.__setitem__("backward", counts["backward"] + len(gradient))
            )

    hook = head.register_forward_hook(forward)
    try:
        one("the cat sat on a mat", target=hs.MaskedToken("cat"), method=method)
    finally:
        hook.remove()
    stated = method.passes(5)
    if name in ("shapley_sampling", "kernel_shap", "lime"):  # each of the 32 subsets is evaluated once
        assert counts["forward"] <= min(stated[0], 32 + 1)
    else:
        assert (counts["forward"], counts["backward"]) == stated


@pytest.mark.parametrize("name", METHOD)
def test_a_text_without_anything_to_remove(name: str) -> None:
    heat = explainer()("cat", method=METHOD[name])
    assert heat.scores.shape == (1, 3)
    if heat.arguments.get("baseline") and not METHOD[name].arguments.get("noise_level"):
        np.testing.assert_allclose(heat.scores, 0, atol=1e-12)


def test_convergence_deltas_are_what_is_missing() -> None:
    for method in (hs.integrated_gradients(3), hs.integrated_gradients(tolerance=0.1), hs.gradient_shap(4)):
        heat = explainer()(TEXT, method=method)
        score, arguments = explainer().captum(TEXT, baseline=hs.mask_embedding)
        rows = arguments["additional_forward_args"]
        with torch.no_grad():
            difference = score(arguments["inputs"], *rows) - score(arguments["baselines"], *rows)
        missing = heat.scores.sum(axis=1) - difference.numpy()
        np.testing.assert_allclose(heat.convergence_delta, missing, rtol=0, atol=1e-9)
        assert "delta" in repr(heat)
    assert explainer()(TEXT, method=hs.leave_one_out()).convergence_delta is None


@pytest.mark.filterwarnings("default:.*do not add up:RuntimeWarning")
def test_a_large_delta_warns_with_the_remedy_at_the_users_line() -> None:
    with pytest.warns(
        RuntimeWarning, match=r"do not add up .* Use hs.integrated_gradients\(tolerance=1e-3\)"
    ) as seen:
        explainer()(TEXT, method=hs.integrated_gradients(1))
    assert seen[0].filename == __file__


@pytest.mark.filterwarnings("error")
def test_a_tolerance_needs_no_warning() -> None:
    heat = explainer()(TEXT, method=hs.integrated_gradients(tolerance=1e-3))
    assert heat.arguments["tolerance"] == 1e-3
    exact = explainer()(TEXT, method=hs.integrated_gradients(200))
    np.testing.assert_allclose(heat.scores, exact.scores, rtol=0, atol=5e-3 * np.abs(exact.scores).max())


def test_the_default_baseline_is_named_in_the_map() -> None:
    heat = explainer()(TEXT, method="integrated_gradients")
    assert heat.arguments["baseline"] == "mask_embedding"
    heat = explainer()(TEXT, method=hs.occlusion(baseline=hs.zero_embedding))
    assert heat.arguments["baseline"] == "zero_embedding"
    heat = explainer()(TEXT, method=hs.leave_one_out(baseline="a dog ran ! ! !"))
    assert heat.arguments["baseline"] == "a dog ran ! ! !"


def test_words_share_their_score() -> None:
    tokens = explainer()(TEXT, target=hs.MaskedToken("cat"), method=hs.leave_one_out(feature="word")).scores[
        0
    ]
    assert tokens[3] == tokens[4] != 0  # "learn" and "##ed"
    target = hs.MaskedToken("cat")
    values = explainer()(TEXT, target=target, method=hs.shapley_sampling(3, feature="word"))
    score, arguments = explainer().captum(TEXT, target=target, baseline=hs.mask_embedding)
    rows = arguments["additional_forward_args"]
    difference = score(arguments["inputs"], *rows) - score(arguments["baselines"], *rows)
    np.testing.assert_allclose(values.scores.sum(), difference.item(), rtol=1e-5)


@pytest.mark.parametrize("name", ["integrated_gradients", "smooth_grad", "kernel_shap"])
def test_explainers_in_threads(name: str) -> None:
    expected = explainer()(TEXT, method=METHOD[name])
    found: list[hs.SaliencyMap] = []
    threads = [
        threading.Thread(target=lambda: found.append(explainer()(TEXT, method=METHOD[name])))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for heat in found:
        same(heat, expected, tolerance(name))


@pytest.mark.filterwarnings("error")
def test_squares_and_variances_have_no_delta() -> None:
    for make in (hs.smooth_grad_squared, hs.var_grad):
        heat = explainer()(TEXT, method=make(hs.integrated_gradients(2), n_samples=3))
        assert heat.convergence_delta is None
        assert heat.arguments["n_samples"] == 3
        assert heat.arguments["of_n_steps"] == 2
        assert heat.arguments["of_baseline"] == "mask_embedding"


def test_noise_over_noise() -> None:
    heat = explainer()(TEXT, method=hs.smooth_grad(hs.smooth_grad(n_samples=2), n_samples=3))
    assert np.isfinite(heat.scores).all()
    assert (heat.arguments["n_samples"], heat.arguments["of_n_samples"]) == (3, 2)


@pytest.mark.filterwarnings("error")
def test_rounding_is_no_missing_part() -> None:
    for method in ("discretized_integrated_gradients", "integrated_gradients"):
        assert np.abs(explainer()("cat", method=method).convergence_delta).max() < 1e-12


@pytest.mark.filterwarnings("default:.*do not add up:RuntimeWarning")
def test_a_tolerance_that_is_not_met_is_said_once_at_the_users_line() -> None:
    with pytest.warns(RuntimeWarning, match=r"do not add up .* Use a larger tolerance") as seen:
        explainer(16)([TEXT], method=hs.integrated_gradients(3, tolerance=1e-6))
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_a_model_of_nan_is_named() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    with torch.no_grad():
        model.cls.predictions.bias.fill_(torch.nan)
    one = hs.Explainer(model, tokenizer, progress=False)
    for method in ("gradient_norm", "integrated_gradients", "leave_one_out"):
        with pytest.warns(RuntimeWarning, match="not finite"):
            one(TEXT, method=method)
    with pytest.raises(hs.SaliencyError, match="kernel_shap.* could not be computed: .*NaN"):
        one(TEXT, method="kernel_shap")


def test_every_method_says_what_it_is() -> None:
    for name, make in METHODS.items():
        method = make()
        assert method.name == name
        assert method.citation or name == "random_baseline"
        assert make is getattr(hs, name)
        assert as_method(name).arguments == as_method(make).arguments == method.arguments
        assert method.passes is None or len(method.passes(10)) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hs.integrated_gradients(0), "n_steps=0: give a whole number of at least 1"),
        (lambda: hs.integrated_gradients(2.5), "n_steps=2.5"),
        (lambda: hs.integrated_gradients(True), "n_steps=True"),
        (lambda: hs.integrated_gradients(1, quadrature="riemann_left"), "needs 2 points or more"),
        (lambda: hs.integrated_gradients(quadrature="simpson"), "quadrature='simpson': choose one of"),
        (lambda: hs.integrated_gradients(tolerance=0), "tolerance=0: give a positive number"),
        (lambda: hs.integrated_gradients(2, tolerance=1e-3), "n_steps=2: give a whole number of at least 3"),
        (lambda: hs.integrated_gradients(reduction="total"), "the sum is called 'sum'"),
        (lambda: hs.sequential_integrated_gradients(0), "n_steps=0"),
        (lambda: hs.discretized_integrated_gradients(n_neighbors=0), "n_neighbors=0"),
        (lambda: hs.discretized_integrated_gradients(strategy="best"), "strategy='best'"),
        (lambda: hs.gradient_shap(0), "n_samples=0"),
        (lambda: hs.gradient_shap(noise_level=-1), "noise_level=-1"),
        (lambda: hs.smooth_grad(n_samples=0), "n_samples=0"),
        (lambda: hs.smooth_grad(noise_level=0), "noise_level=0"),
        (lambda: hs.smooth_grad("saliency"), r"of='saliency': give a method such as smooth_grad\(hs.input"),
        (lambda: hs.smooth_grad(seed=-1), "seed=-1"),
        (lambda: hs.smooth_grad(seed=0.5), "seed=0.5"),
        (lambda: hs.var_grad(n_samples=1), "n_samples=1 has no variance"),
        (lambda: hs.occlusion(0), "window=0"),
        (lambda: hs.occlusion(2, stride=3), "stride=3 skips tokens"),
        (lambda: hs.leave_one_out(feature="letter"), "feature='letter': choose one of"),
        (lambda: hs.shapley_sampling(0), "n_samples=0"),
        (lambda: hs.lime(alpha=0), "alpha=0"),
        (lambda: hs.lime(kernel_width=-1), "kernel_width=-1"),
        (lambda: as_method("integrated-gradients"), "Did you mean 'integrated_gradients'"),
        (lambda: as_method("xyz"), "there is no method 'xyz'. There are gradient_norm, saliency"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        make()


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for make in (hs.lime, hs.kernel_shap):
        with pytest.raises(hs.SaliencyError, match=r"pip install scikit-learn"):
            make()

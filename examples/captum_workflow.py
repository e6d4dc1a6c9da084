"""Captum, in both directions: a score for any of its methods, and maps from the attributions that they return.

    python examples/captum_workflow.py [--output FOLDER]

Uses the bundled model and a tiny random GPT-2, so nothing is downloaded; takes a few seconds. ``docs/captum.md``
explains each step.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import captum.attr
import torch
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max
from matplotlib import pyplot
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

import hf_saliency as hs

TEXT = "the formal study of grammar is an important part of education"
TARGET = hs.MaskedToken(["grammar", "education"])


def attribute(model: Any, score: Any, arguments: dict[str, Any]) -> Tensor:
    """Run Captum's own classes on the score: by input, by layer, and the gradient norm under Captum's noise."""
    gradients = captum.attr.IntegratedGradients(score)
    found, delta = gradients.attribute(**arguments, n_steps=20, return_convergence_delta=True)
    print(f"integrated gradients    {tuple(found.shape)}, largest delta {delta.abs().max():.1e}")

    layer = captum.attr.LayerIntegratedGradients(score, layer=score.sites[0])
    same = layer.attribute(**arguments, n_steps=20)
    print(f"  at the layer          largest difference {(found - same).abs().max():.1e}")

    without_baselines = {key: value for key, value in arguments.items() if key != "baselines"}
    norm = hs.GradientNorm(score, model.get_input_embeddings())
    torch.manual_seed(0)
    noisy = captum.attr.NoiseTunnel(norm).attribute(**without_baselines, nt_samples=5, stdevs=0.01)
    print(f"noisy gradient norm     {tuple(noisy.shape)}, from {noisy.min():.2f} to {noisy.max():.2f}")
    return found.detach()


@infidelity_perturb_func_decorator(multiply_by_inputs=True)
def without_some_tokens(inputs: Tensor, baselines: Tensor) -> Tensor:
    """The texts with every third token, at random, replaced by the baseline."""
    absent = torch.rand(*inputs.shape[:2], 1) < 1 / 3
    return torch.where(absent, baselines, inputs)


def measure(score: Any, arguments: dict[str, Any], found: Tensor) -> None:
    """Run Captum's metrics, which take the score and the arguments unchanged."""
    torch.manual_seed(0)
    error = infidelity(score, without_some_tokens, attributions=found, **arguments, n_perturb_samples=10)
    print(f"infidelity              {', '.join(f'{one:.3f}' for one in error)}")

    gradients = captum.attr.IntegratedGradients(score)
    change = sensitivity_max(
        gradients.attribute, **arguments, n_steps=10, perturb_radius=0.001, n_perturb_samples=2
    )
    print(f"sensitivity             {', '.join(f'{one:.3f}' for one in change)}")


def compare(explainer: hs.Explainer, score: Any) -> None:
    """Compute the same with the explainer, by a named method, a Captum class, and an instance built on the score."""
    named = explainer(TEXT, target=TARGET, method=hs.input_x_gradient())
    by_class = explainer(TEXT, target=TARGET, method=captum.attr.InputXGradient)
    instance = captum.attr.InputXGradient(score)
    by_instance = explainer(TEXT, target=TARGET, method=instance)
    for name, heat in (("class", by_class), ("instance", by_instance)):
        print(f"method={name:<16} largest difference {abs(heat.scores - named.scores).max():.1e}")


def draw(explainer: hs.Explainer, found: Tensor, folder: Path) -> None:
    """Draw Captum's attributions: a figure by this package, and both of Captum's own views."""
    labels = ["grammar", "education"]
    heat = hs.SaliencyMap.from_attributions(
        found, explainer.encode(TEXT), targets=labels, method="integrated_gradients"
    )
    hs.figure(heat, mark=hs.Highlight(), width=6.75).savefig(folder / "integrated_gradients.png", dpi=200)

    swept = explainer(TEXT, target=TARGET).drop_special()
    page = captum.attr.visualization.visualize_text(hs.captum_records(swept))  # needs IPython, and prints
    (folder / "visualize_text.html").write_text(f"<!doctype html><meta charset=utf-8>{page.data}", "utf-8")

    figure, _ = hs.llm_attribution_result(swept).plot_token_attr()
    figure.savefig(folder / "plot_token_attr.png", bbox_inches="tight")
    pyplot.close(figure)


def generate(tokenizer: Any, folder: Path) -> None:
    """Use the gradient norm in Captum's attribution of generated text, on a GPT-2 with random weights."""
    torch.manual_seed(0)
    ends = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64, **ends)
    model = GPT2LMHeadModel(config).eval()
    norm = hs.LayerGradientNorm(model, model.get_input_embeddings(), keepdim=True)
    prompt = captum.attr.TextTokenInput("the study of grammar", tokenizer, skip_tokens=["[CLS]", "[SEP]"])
    result = hs.LLMGradientNormAttribution(norm, tokenizer).attribute(prompt, target="is an important part")
    print(f"GPT-2                   {result.output_tokens} after {result.input_tokens}")
    figure, _ = result.plot_token_attr()
    figure.savefig(folder / "gpt2_plot_token_attr.png", bbox_inches="tight")
    pyplot.close(figure)


def main(folder: Path) -> None:
    """Use each connection between this package and Captum once."""
    folder.mkdir(parents=True, exist_ok=True)
    model, tokenizer = hs.load_demo()
    explainer = hs.Explainer(model, tokenizer)
    score, arguments = explainer.captum(TEXT, target=TARGET, baseline=hs.mask_embedding)
    found = attribute(model, score, arguments)
    measure(score, arguments, found)
    compare(explainer, score)
    draw(explainer, found, folder)
    generate(tokenizer, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("captum-workflow-output"))
    main(parser.parse_args().output)

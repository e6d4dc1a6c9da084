"""Which tokens did this prediction depend on? Captum attribution for Hugging Face text models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_saliency.adapter.baselines import mask_embedding, mean_embedding, pad_embedding, zero_embedding
    from hf_saliency.adapter.families import Family, register_family
    from hf_saliency.adapter.targets.answer_span import AnswerSpan
    from hf_saliency.adapter.targets.choice import Choice
    from hf_saliency.adapter.targets.continuation import Continuation
    from hf_saliency.adapter.targets.label import Label
    from hf_saliency.adapter.targets.masked_span import MaskedSpan
    from hf_saliency.adapter.targets.masked_token import MaskedToken, UnmaskedToken
    from hf_saliency.adapter.targets.next_token import NextToken
    from hf_saliency.adapter.targets.output import Output
    from hf_saliency.adapter.targets.pseudo_log_likelihood import PseudoLogLikelihood
    from hf_saliency.adapter.targets.similarity import Similarity
    from hf_saliency.adapter.targets.target import Target
    from hf_saliency.adapter.targets.token_label import TokenLabel
    from hf_saliency.alignment import aligned
    from hf_saliency.attribution.adaptive_integrated_gradients import AdaptiveIntegratedGradients
    from hf_saliency.attribution.captum_method import captum_method
    from hf_saliency.attribution.discretized_integrated_gradients import DiscretizedIntegratedGradients
    from hf_saliency.attribution.gradient_methods import gradient_norm, input_x_gradient, saliency
    from hf_saliency.attribution.gradient_norm import GradientNorm, LayerGradientNorm
    from hf_saliency.attribution.llm_gradient_norm import LLMGradientNormAttribution
    from hf_saliency.attribution.method import Method
    from hf_saliency.attribution.noise_methods import smooth_grad, smooth_grad_squared, var_grad
    from hf_saliency.attribution.path_methods import gradient_shap, integrated_gradients
    from hf_saliency.attribution.random_baseline import random_baseline
    from hf_saliency.attribution.removal_methods import leave_one_out, occlusion, shapley_sampling
    from hf_saliency.attribution.sequential_integrated_gradients import SequentialIntegratedGradients
    from hf_saliency.attribution.surrogate_methods import kernel_shap, lime
    from hf_saliency.attribution.word_path_methods import (
        discretized_integrated_gradients,
        sequential_integrated_gradients,
    )
    from hf_saliency.captum_views import captum_records, llm_attribution_result
    from hf_saliency.carriers import read_maps
    from hf_saliency.comparison import Agreement, agreement
    from hf_saliency.demo import load_demo
    from hf_saliency.errors import SaliencyError
    from hf_saliency.explainer import Explainer
    from hf_saliency.render.figure import figure
    from hf_saliency.render.html.page import page
    from hf_saliency.render.latex import to_latex
    from hf_saliency.render.marks import Arcs, Bars, Highlight, Matrix
    from hf_saliency.render.sheets import sheets
    from hf_saliency.saliency_map import Prediction, SaliencyMap, TargetRow
    from hf_saliency.showing import show
    from hf_saliency.spans import Token

__version__ = "0.1.0"

# Each public name is imported from its module on first use, so that `import hf_saliency` costs nothing.
_HOME = {
    "Explainer": "explainer",
    "AnswerSpan": "adapter.targets.answer_span",
    "Choice": "adapter.targets.choice",
    "Output": "adapter.targets.output",
    "Similarity": "adapter.targets.similarity",
    "Target": "adapter.targets.target",
    "Family": "adapter.families",
    "register_family": "adapter.families",
    "Label": "adapter.targets.label",
    "TokenLabel": "adapter.targets.token_label",
    "Continuation": "adapter.targets.continuation",
    "NextToken": "adapter.targets.next_token",
    "MaskedSpan": "adapter.targets.masked_span",
    "MaskedToken": "adapter.targets.masked_token",
    "PseudoLogLikelihood": "adapter.targets.pseudo_log_likelihood",
    "UnmaskedToken": "adapter.targets.masked_token",
    "GradientNorm": "attribution.gradient_norm",
    "LayerGradientNorm": "attribution.gradient_norm",
    "Agreement": "comparison",
    "agreement": "comparison",
    "aligned": "alignment",
    "LLMGradientNormAttribution": "attribution.llm_gradient_norm",
    "AdaptiveIntegratedGradients": "attribution.adaptive_integrated_gradients",
    "DiscretizedIntegratedGradients": "attribution.discretized_integrated_gradients",
    "SequentialIntegratedGradients": "attribution.sequential_integrated_gradients",
    "mask_embedding": "adapter.baselines",
    "mean_embedding": "adapter.baselines",
    "pad_embedding": "adapter.baselines",
    "zero_embedding": "adapter.baselines",
    "captum_method": "attribution.captum_method",
    "gradient_norm": "attribution.gradient_methods",
    "input_x_gradient": "attribution.gradient_methods",
    "saliency": "attribution.gradient_methods",
    "smooth_grad": "attribution.noise_methods",
    "smooth_grad_squared": "attribution.noise_methods",
    "var_grad": "attribution.noise_methods",
    "Method": "attribution.method",
    "discretized_integrated_gradients": "attribution.word_path_methods",
    "gradient_shap": "attribution.path_methods",
    "integrated_gradients": "attribution.path_methods",
    "sequential_integrated_gradients": "attribution.word_path_methods",
    "random_baseline": "attribution.random_baseline",
    "kernel_shap": "attribution.surrogate_methods",
    "leave_one_out": "attribution.removal_methods",
    "lime": "attribution.surrogate_methods",
    "occlusion": "attribution.removal_methods",
    "shapley_sampling": "attribution.removal_methods",
    "captum_records": "captum_views",
    "llm_attribution_result": "captum_views",
    "figure": "render.figure",
    "page": "render.html.page",
    "show": "showing",
    "read_maps": "carriers",
    "to_latex": "render.latex",
    "sheets": "render.sheets",
    "Arcs": "render.marks",
    "Bars": "render.marks",
    "Highlight": "render.marks",
    "Matrix": "render.marks",
    "load_demo": "demo",
    "SaliencyError": "errors",
    "SaliencyMap": "saliency_map",
    "Token": "spans",
    "TargetRow": "saliency_map",
    "Prediction": "saliency_map",
}

__all__ = [
    "AdaptiveIntegratedGradients",
    "Agreement",
    "AnswerSpan",
    "Arcs",
    "Bars",
    "Choice",
    "Continuation",
    "DiscretizedIntegratedGradients",
    "Explainer",
    "Family",
    "GradientNorm",
    "Highlight",
    "LLMGradientNormAttribution",
    "Label",
    "LayerGradientNorm",
    "MaskedSpan",
    "MaskedToken",
    "Matrix",
    "Method",
    "NextToken",
    "Output",
    "Prediction",
    "PseudoLogLikelihood",
    "SaliencyError",
    "SaliencyMap",
    "SequentialIntegratedGradients",
    "Similarity",
    "Target",
    "TargetRow",
    "Token",
    "TokenLabel",
    "UnmaskedToken",
    "agreement",
    "aligned",
    "captum_method",
    "captum_records",
    "discretized_integrated_gradients",
    "figure",
    "gradient_norm",
    "gradient_shap",
    "input_x_gradient",
    "integrated_gradients",
    "kernel_shap",
    "leave_one_out",
    "lime",
    "llm_attribution_result",
    "load_demo",
    "mask_embedding",
    "mean_embedding",
    "occlusion",
    "pad_embedding",
    "page",
    "random_baseline",
    "read_maps",
    "register_family",
    "saliency",
    "sequential_integrated_gradients",
    "shapley_sampling",
    "sheets",
    "show",
    "smooth_grad",
    "smooth_grad_squared",
    "to_latex",
    "var_grad",
    "zero_embedding",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

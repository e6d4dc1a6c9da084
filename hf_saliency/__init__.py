"""Which tokens did this prediction depend on? Captum attribution for Hugging Face text models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_saliency.adapter.targets import MaskedToken, UnmaskedToken
    from hf_saliency.attribution.gradient_norm import GradientNorm, LayerGradientNorm
    from hf_saliency.attribution.methods import Method, gradient_norm, input_x_gradient, saliency
    from hf_saliency.demo import load_demo
    from hf_saliency.errors import SaliencyError
    from hf_saliency.explainer import Explainer
    from hf_saliency.render.figure import figure
    from hf_saliency.render.marks import Highlight, Matrix
    from hf_saliency.saliency_map import Prediction, SaliencyMap, TargetRow
    from hf_saliency.spans import Token

__version__ = "0.1.0"

# Each public name is imported from its module on first use, so that `import hf_saliency` costs nothing.
_HOME = {
    "Explainer": "explainer",
    "MaskedToken": "adapter.targets",
    "UnmaskedToken": "adapter.targets",
    "GradientNorm": "attribution.gradient_norm",
    "LayerGradientNorm": "attribution.gradient_norm",
    "Method": "attribution.methods",
    "gradient_norm": "attribution.methods",
    "saliency": "attribution.methods",
    "input_x_gradient": "attribution.methods",
    "figure": "render.figure",
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
    "Explainer",
    "GradientNorm",
    "Highlight",
    "LayerGradientNorm",
    "MaskedToken",
    "Matrix",
    "Method",
    "Prediction",
    "SaliencyError",
    "SaliencyMap",
    "TargetRow",
    "Token",
    "UnmaskedToken",
    "figure",
    "gradient_norm",
    "input_x_gradient",
    "load_demo",
    "saliency",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

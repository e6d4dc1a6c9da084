"""The methods by name, and conversion of the other forms in which a user may give a method."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from captum.attr import Attribution
from torch import nn

from hf_saliency import synonyms
from hf_saliency.attribution.captum_method import captum_method
from hf_saliency.attribution.method import Method
from hf_saliency.attribution.named.chance import random_baseline
from hf_saliency.attribution.named.gradients import (
    gradient_norm,
    input_x_gradient,
    saliency,
    smooth_grad,
    smooth_grad_squared,
    var_grad,
)
from hf_saliency.attribution.named.mixing import attention_rollout, value_zeroing
from hf_saliency.attribution.named.paths import (
    discretized_integrated_gradients,
    gradient_shap,
    integrated_gradients,
    sequential_integrated_gradients,
)
from hf_saliency.attribution.named.relevance import attn_lrp, cp_lrp, gim, ln_freeze
from hf_saliency.attribution.named.removal import leave_one_out, occlusion, shapley_sampling
from hf_saliency.attribution.named.surrogates import kernel_shap, lime
from hf_saliency.errors import SaliencyError, shown

METHODS: dict[str, Callable[..., Method]] = {
    "gradient_norm": gradient_norm,
    "saliency": saliency,
    "input_x_gradient": input_x_gradient,
    "ln_freeze": ln_freeze,
    "cp_lrp": cp_lrp,
    "attn_lrp": attn_lrp,
    "gim": gim,
    "integrated_gradients": integrated_gradients,
    "sequential_integrated_gradients": sequential_integrated_gradients,
    "discretized_integrated_gradients": discretized_integrated_gradients,
    "gradient_shap": gradient_shap,
    "smooth_grad": smooth_grad,
    "smooth_grad_squared": smooth_grad_squared,
    "var_grad": var_grad,
    "occlusion": occlusion,
    "leave_one_out": leave_one_out,
    "shapley_sampling": shapley_sampling,
    "kernel_shap": kernel_shap,
    "lime": lime,
    "value_zeroing": value_zeroing,
    "attention_rollout": attention_rollout,
    "random_baseline": random_baseline,
}


def named(name: str, arguments: Mapping[str, Any] | None = None) -> Method:
    """Make the method of a name in ``METHODS``, with arguments; refuse an unknown name or argument."""
    if name not in METHODS:
        plain = name.lower().replace("-", "_").replace(" ", "_")
        near = difflib.get_close_matches(plain, METHODS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        hint = f" Use {synonyms.METHODS[plain]}." if plain in synonyms.METHODS else hint
        raise SaliencyError(
            f"there is no method {name!r}.{hint} There are {', '.join(METHODS)}.",
            page="methods#what-there-is-and-what-it-costs",
        )
    if not arguments:
        return METHODS[name]()
    known = inspect.signature(METHODS[name]).parameters
    for key in arguments:
        if key not in known:
            raise SaliencyError(f"{name} takes no argument {key!r}: it takes {', '.join(known)}.")
    return METHODS[name](**arguments)


def as_method(method: Any) -> Method:
    """Convert to a :class:`Method`: a method, its name, the function that makes it, or a Captum class or instance.

    A function from the score to a Captum attribution is accepted as well. None is the gradient norm.
    """
    if method is None:
        return gradient_norm()
    if isinstance(method, Method):
        return method
    if isinstance(method, str):
        return named(method)
    if any(method is make for make in METHODS.values()):
        return as_method(method())
    if isinstance(method, Attribution) or (callable(method) and not isinstance(method, nn.Module)):
        return captum_method(method)
    raise SaliencyError(
        f"method={shown(method)}: give a method such as hs.integrated_gradients(), its name, a Captum class such as "
        "captum.attr.IntegratedGradients, or a function from the score to a Captum attribution."
    )

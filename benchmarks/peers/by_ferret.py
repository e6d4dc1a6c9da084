"""ferret: gradients of a label's logit, by Captum, one text at a time."""

from __future__ import annotations

from typing import Any

from ferret import GradientExplainer, IntegratedGradientExplainer
from works import LABEL, MEAN, PATH_LOGIT, STEPS, Case, Way


def integrated_gradients(case: Case, warm: bool) -> Any:
    """Steps in batches of 5, which ferret passes to Captum; summed over the width."""
    arguments = {"n_steps": 2 if warm else STEPS, "internal_batch_size": 5}
    explainer = IntegratedGradientExplainer(case.model, case.tokenizer)
    return explainer(case.text, LABEL, call_args=arguments).scores[None]


def gradient(case: Case, text: str) -> Any:
    """The sum of magnitudes over the width, and the mean from it."""
    explainer = GradientExplainer(case.model, case.tokenizer, multiply_by_inputs=False)
    return explainer(text, LABEL).scores / case.width


WAYS = {
    "gradients": {"ferret": Way(integrated_gradients, PATH_LOGIT)},
    "texts": {
        "ferret, one text": Way(
            lambda case, warm: [gradient(case, text) for text in case.work.texts[: 2 if warm else None]], MEAN
        )
    },
    "tiny": {"ferret": Way(lambda case, warm: gradient(case, case.text)[None], MEAN)},
}

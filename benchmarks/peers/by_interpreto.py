"""interpreto: classifiers, and language models with one forward pass, and one backward pass per target."""

from __future__ import annotations

from typing import Any

import torch
from interpreto import Granularity, IntegratedGradients, Saliency
from works import LABEL, MEAN, STEPS, Case, Way


def explainer(case: Case, kind: Any, **options: Any) -> Any:
    """An explainer of every token, special ones included; made once."""
    settings = {"granularity": Granularity.ALL_TOKENS, **options}
    return case.once(repr(options), lambda: kind(case.model, case.tokenizer, **settings))


def causal(case: Case, warm: bool) -> Any:
    """Next tokens; the score of a token that a target does not depend on is NaN, and becomes 0."""
    pieces = case.text.split()
    first, last = min(case.all), max(case.all) + 1
    saliency = explainer(case, Saliency, input_x_gradient=False)
    target = " ".join(pieces[first : first + 1 if warm else last])
    rows = saliency.explain(" ".join(pieces[:first]), target)[0].attributions.nan_to_num()
    return rows if warm else case.in_order(rows)


def texts(size: int) -> Any:
    """A list of texts, in padded batches."""

    def run(case: Case, warm: bool) -> Any:
        saliency = explainer(case, Saliency, input_x_gradient=False, batch_size=size)
        chosen = list(case.work.texts)[: 16 if warm else None]
        return [
            heat.attributions[0] for heat in saliency.explain(chosen, torch.full((len(chosen), 1), LABEL))
        ]

    return run


def integrated_gradients(size: int) -> Any:
    """Integrated gradients from zero with magnitudes averaged over the width at every step, unlike the other ways."""

    def run(case: Case, warm: bool) -> Any:
        steps = 2 if warm else STEPS
        method = explainer(case, IntegratedGradients, n_perturbations=steps, batch_size=size)
        return method.explain(case.text, LABEL)[0].attributions

    return run


WAYS = {
    "causal-64": {"interpreto": Way(causal, MEAN)},
    "causal-256": {"interpreto": Way(causal, MEAN)},
    "gradients": {f"interpreto, batch_size={size}": Way(integrated_gradients(size)) for size in (4, 25)},
    "texts": {f"interpreto, batch_size={size}": Way(texts(size), MEAN) for size in (1, 4)},
    "tiny": {"interpreto": Way(texts(1), MEAN)},
}

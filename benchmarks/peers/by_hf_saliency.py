"""This package, and the numbers that the other ways must return."""

from __future__ import annotations

from typing import Any

import numpy as np
from works import (
    FIRST,
    LABEL,
    MEAN,
    NORM,
    ONE_HOT,
    OURS,
    PATH_LOGIT,
    PATH_PROB,
    PATH_SHARE,
    REFERENCE,
    STEPS,
    Case,
    Way,
)

import hf_saliency as hs

PADDING = hs.pad_embedding


def explainer(case: Case) -> Any:
    """One explainer per model, as in a script."""
    return case.once("explainer", lambda: hs.Explainer(case.model, case.tokenizer, progress=False))


def sweep(target: Any, **options: Any) -> Any:
    """Explain all targets of the text, in the order of the work."""

    def run(case: Case, warm: bool) -> Any:
        places = case.all[:1] if warm else case.all
        return explainer(case)(case.text, target=target(places), **options).scores

    return run


def next_tokens(unit: str = "logit", **options: Any) -> Any:
    """Explain next tokens; the columns are those of one text."""
    return sweep(lambda places: hs.NextToken(places, unit=unit), **options)


def label(unit: str = "logit", **options: Any) -> Any:
    """Explain the given label of one text."""
    return lambda case, warm: explainer(case)(case.text, target=hs.Label(LABEL, unit=unit), **options).scores


def texts(case: Case, warm: bool) -> Any:
    """Explain a list of texts."""
    chosen = list(case.work.texts)[: 16 if warm else None]
    heats = explainer(case)(chosen, target=hs.Label(LABEL), method=hs.saliency("mean"))
    return [heat.scores[0] for heat in heats]


def tiny_list(case: Case, warm: bool) -> Any:
    """Explain the same short text 64 times in one call."""
    heats = explainer(case)([case.text] * 64, target=hs.Label(LABEL), method="saliency")
    return np.concatenate([heat.scores for heat in heats])


def translation(method: Any = None) -> Any:
    """Explain all tokens of the target from the source and the target's preceding tokens."""

    def run(case: Case, warm: bool) -> Any:
        return explainer(case)(case.work.texts, target=hs.Continuation(), method=method).scores

    return run


def share(run: Any) -> Any:
    """The scores that a way returns, with each row divided by its norm."""

    def divided(case: Case, warm: bool) -> Any:
        rows = run(case, warm)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return divided


def first(run: Any) -> Any:
    """The first token's column of the scores that a way returns."""
    return lambda case, warm: run(case, warm)[:, :1]


fixed = {"method": hs.integrated_gradients(STEPS, baseline=PADDING)}
tolerance = {"method": hs.integrated_gradients(tolerance=1e-3, baseline=PADDING)}
WAYS = {
    **{f"masked-{tokens}": {OURS: Way(sweep(hs.MaskedToken, top_k=3), ONE_HOT)} for tokens in (38, 128, 512)},
    **{
        f"causal-{tokens}": {
            OURS: Way(next_tokens(top_k=3), ONE_HOT),
            REFERENCE + NORM: Way(next_tokens(method=hs.saliency("norm")), NORM),
            REFERENCE + MEAN: Way(next_tokens(method=hs.saliency("mean")), MEAN),
            REFERENCE + FIRST: Way(first(next_tokens("log_prob", method=hs.input_x_gradient())), FIRST),
        }
        for tokens in (64, 256)
    },
    "gradients": {
        OURS: Way(label("prob", **fixed), PATH_PROB),
        f"{OURS}, tolerance=1e-3": Way(label("prob", **tolerance), PATH_PROB, 2e-2),
        REFERENCE + PATH_SHARE: Way(share(label("prob", **fixed)), PATH_SHARE),
        REFERENCE + PATH_LOGIT: Way(label(**fixed), PATH_LOGIT),
    },
    "texts": {OURS: Way(texts, MEAN)},
    "labels": {OURS: Way(sweep(hs.TokenLabel), ONE_HOT)},
    "translation": {OURS: Way(translation(hs.saliency("norm")), NORM)},
    "tiny": {
        OURS: Way(label(method="saliency"), NORM),
        f"{OURS}, a list of 64": Way(tiny_list, NORM),
        REFERENCE + MEAN: Way(label(method=hs.saliency("mean")), MEAN),
    },
}

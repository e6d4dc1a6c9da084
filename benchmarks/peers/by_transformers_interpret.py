"""transformers-interpret: integrated gradients of a label's probability, divided by their norm."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers_interpret import SequenceClassificationExplainer
from works import LABEL, PATH_SHARE, STEPS, Case, Way


def integrated_gradients(size: int) -> Any:
    """The package's only method, with ``size`` steps at once."""

    def run(case: Case, warm: bool) -> Any:
        explainer = SequenceClassificationExplainer(case.model, case.tokenizer)
        steps = 2 if warm else STEPS
        pairs = explainer(case.text, index=LABEL, n_steps=steps, internal_batch_size=size)
        return np.array([[score for _, score in pairs]])

    return run


WAYS = {
    "gradients": {
        f"transformers-interpret, internal_batch_size={size}": Way(integrated_gradients(size), PATH_SHARE)
        for size in (5, 25)
    }
}

"""Variants of one text with some of its tokens masked, asked for again and again: what the metrics stand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.guards import HeldInterrupts
from hf_saliency.adapter.text_model import Overflow
from hf_saliency.explain.explainer import Explainer
from hf_saliency.explain.masking import masked_scores, removable
from hf_saliency.score.products import Products
from hf_saliency.targets.default import default_target
from hf_saliency.targets.target import Target


class Variants:
    """The rows of a target in one text; evaluates the model where tokens are masked.

    Parameters
    ----------
    explainer
        Whose model is evaluated.
    text
        What one explanation is of.
    target
        As in a call of the explainer.
    baseline
        What replaces a masked token, as in :meth:`Explainer.score_masked`.
    overflow
        As in a call of the explainer.
    """

    def __init__(
        self,
        explainer: Explainer,
        text: Any,
        target: Target | None,
        *,
        baseline: Any = None,
        overflow: Overflow = "error",
    ) -> None:
        self._explainer, self._model = explainer, explainer.text_model
        self._target = default_target(self._model) if target is None else target
        self._baseline = baseline
        self.encoding: Encoding = explainer.encode(text, target=self._target, overflow=overflow)
        self._rows = self._target.rows(self.encoding, self._model)
        readout = self._target.readout(self._model, len(self.encoding.parts))
        self.unit = str(readout.unit)
        self.removable: Bool[np.ndarray, "targets tokens"] = removable(self._model, self._rows)

    def evaluate(
        self, numbers: Sequence[int], keep: Bool[np.ndarray, "variants tokens"]
    ) -> tuple[Float[np.ndarray, " variants"], Int[np.ndarray, "variants refs"]]:
        """The scores of variants of the rows of these numbers, and the classes that the model answers there.

        The class is -1 at a place that the target does not read, and at each place if it has no classes.
        """
        model, size = self._model, self._explainer.batch_tokens
        products = Products.of(model.model, self._explainer.fast_products)
        with HeldInterrupts(), torch.inference_mode(False), products.entered():
            return masked_scores(model, self._target, self._rows, numbers, keep, self._baseline, size)

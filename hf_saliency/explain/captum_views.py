"""Captum views: a map as the data of Captum's own table of coloured text and of its plots."""

from __future__ import annotations

import html

import numpy as np
import torch
from captum.attr import LLMAttributionResult, visualization

from hf_saliency.errors import SaliencyError, checks_call
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.reduction import Normalization
from hf_saliency.maps.saliency_map import SaliencyMap


@checks_call
def captum_records(
    saliency_map: SaliencyMap, *, normalize: Normalization = "row_max"
) -> list[visualization.VisualizationDataRecord]:
    """Return the rows of ``captum.attr.visualization.visualize_text``, one for each target.

    Captum puts every text into the page unchanged. Here the texts are escaped, so that they are shown and never
    read as HTML. The columns hold: "True Label", the masked token, if there is one; "Predicted Label", the
    model's best answer and its probability (nan if not known); "Attribution Label", the target;
    "Attribution Score", the sum of the raw scores (for norms, this is not a share of a total).

    Parameters
    ----------
    saliency_map
        The map; call ``drop_special()`` or ``words()`` first if you want them.
    normalize
        As in :meth:`SaliencyMap.normalized`: colours cover -1 to 1, and Captum clips scores beyond.

    Returns
    -------
    list of VisualizationDataRecord

    Raises
    ------
    SaliencyError
        If there is no such normalisation, or scores are NaN or infinite.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("<b>hot</b> tea", target=hs.MaskedToken("tea"))
    >>> (record,) = hs.captum_records(heat)
    >>> record.attr_class, record.raw_input_ids[:4]
    ('tea', ['[CLS]', '&lt;', 'b', '&gt;'])
    """
    _check_finite(saliency_map)
    scores = saliency_map.normalized(normalize)
    words = [html.escape(label) for label in saliency_map.labels]
    deltas = saliency_map.convergence_delta
    return [
        visualization.VisualizationDataRecord(
            word_attributions=torch.tensor(scores[i]),
            pred_prob=target.predictions[0].probability if target.predictions else float("nan"),
            pred_class=html.escape(target.predictions[0].label) if target.predictions else "not known",
            true_class=words[target.position] if target.masked and target.position is not None else "",
            attr_class=html.escape(_explained(target)),
            attr_score=float(saliency_map.scores[i].sum(dtype=np.float64)),
            raw_input_ids=list(words),
            convergence_score=0.0 if deltas is None else float(deltas[i]),
        )
        for i, target in enumerate(saliency_map.targets)
    ]


@checks_call
def llm_attribution_result(saliency_map: SaliencyMap) -> LLMAttributionResult:
    """Return the map as a result of Captum's LLM attribution, for ``plot_token_attr`` and ``plot_seq_attr``.

    Output tokens are the targets, input tokens the columns. ``seq_attr`` is the sum over targets. For a signed
    method that is additive in the score, it is the attribution of the summed scores; for norms, an upper bound on
    the norm of the summed scores' gradient. In a masked sweep each target reads a text with a different mask.

    Parameters
    ----------
    saliency_map
        The map, with at least one target.

    Returns
    -------
    LLMAttributionResult

    Raises
    ------
    SaliencyError
        If there is no target, or scores are NaN or infinite.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("She drank hot tea.", target=hs.MaskedToken(["hot", "tea"]))
    >>> result = hs.llm_attribution_result(heat)
    >>> result.output_tokens, tuple(result.token_attr.shape)
    (['hot', 'tea'], (2, 9))
    """
    _check_finite(saliency_map)
    if not saliency_map.scores.size:
        raise SaliencyError(f"there is nothing to plot: scores have shape {saliency_map.scores.shape}.")
    scores = torch.tensor(saliency_map.scores)
    return LLMAttributionResult(
        input_tokens=[_plain(label) for label in saliency_map.labels],
        output_tokens=[_plain(_explained(target)) for target in saliency_map.targets],
        seq_attr=scores.sum(dim=0),
        token_attr=scores,
    )


def _explained(target: TargetRow) -> str:
    return target.label if target.against is None else f"{target.label} against {target.against}"


def _plain(label: str) -> str:
    """Escape a label so that Matplotlib draws it unchanged: it reads an even number of dollars as mathematics."""
    return label.replace("$", r"\$", 1) if label.count("$") % 2 == 0 else label


def _check_finite(saliency_map: SaliencyMap) -> None:
    if not np.isfinite(saliency_map.scores).all():
        raise SaliencyError(
            "Captum has no colour for NaN or infinity, which these scores contain: hs.figure(...) hatches them."
        )

"""Wording: the words that all renderers of a map share, in legends, units, notes and summaries.

Figures, pages, LaTeX, terminals and notebooks draw differently, but they use the same words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hf_saliency.errors import Unit

if TYPE_CHECKING:
    from hf_saliency.maps.fields import TargetRow
    from hf_saliency.maps.reduction import Normalization
    from hf_saliency.maps.saliency_map import SaliencyMap

UNIT_NAMES: dict[Unit, str] = {
    "logit": "logit",
    "log_prob": "log-probability (nats)",
    "prob": "probability",
    "value": "value",
}
METHOD_NAMES: dict[str, str] = {
    "gradient_norm": "gradient norm",
    "saliency": "saliency",
    "input_x_gradient": "input × gradient",
    "ln_freeze": "LN freeze",
    "cp_lrp": "CP-LRP",
    "attn_lrp": "AttnLRP",
    "gim": "GIM",
    "integrated_gradients": "integrated gradients",
    "sequential_integrated_gradients": "sequential integrated gradients",
    "discretized_integrated_gradients": "discretized integrated gradients",
    "gradient_shap": "gradient SHAP",
    "smooth_grad": "SmoothGrad",
    "smooth_grad_squared": "SmoothGrad-Squared",
    "var_grad": "VarGrad",
    "occlusion": "occlusion",
    "leave_one_out": "leave-one-out",
    "shapley_sampling": "Shapley sampling",
    "kernel_shap": "kernel SHAP",
    "lime": "LIME",
    "value_zeroing": "value zeroing",
    "attention_rollout": "attention rollout",
    "random_baseline": "random baseline",
    # Captum's classes
    "DeepLift": "DeepLIFT",
    "FeatureAblation": "feature ablation",
    "GradientShap": "gradient SHAP",
    "InputXGradient": "input × gradient",
    "IntegratedGradients": "integrated gradients",
    "KernelShap": "kernel SHAP",
    "Lime": "LIME",
    "Occlusion": "occlusion",
    "Saliency": "saliency",
    "ShapleyValueSampling": "Shapley sampling",
}
"""Names of methods in papers, by their names in code; other names are printed with spaces for underscores."""
PERCENT_OF_LARGEST = "% of the target's largest"
"""The legend of renderers that print scores as percentages of the largest magnitude of their row."""

_MINUS = "\N{MINUS SIGN}"
_WIDTH = 80


def method_name(method: str) -> str:
    """The printed name of a method, such as ``"input × gradient"``, or of both methods of a difference."""
    parts = method.split(f" {_MINUS} ")
    return f" {_MINUS} ".join(
        METHOD_NAMES.get(part, part.replace("_x_", " × ").replace("_", " ")) for part in parts
    )


def either(names: Sequence[str]) -> str:
    """Join names as a choice: ``"a"``, ``"a or b"``, ``"a, b or c"``."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def scale_label(maps: Sequence[SaliencyMap], normalize: Normalization, signed: bool) -> str:
    """The meaning of the colours of some maps: method, unit and scaling."""
    methods = {heat.method for heat in maps}
    name = method_name(methods.pop()) if len(methods) == 1 else "attribution"
    units = list(dict.fromkeys(UNIT_NAMES[target.unit] for heat in maps for target in heat.targets))
    label = f"{name} of the {either(units)}"
    scaling = scaling_words(
        normalize, signed, several=len(maps) > 1 or any(len(heat.targets) > 1 for heat in maps)
    )
    return f"{label}, {scaling}" if scaling else label


def scaling_words(normalize: Normalization, signed: bool, several: bool = False) -> str:
    """A phrase for the scaling of scores, such as ``"scaled to max |score| of each row"``; empty for raw scores."""
    score = "|score|" if signed else "score"
    if normalize == "none":
        return ""
    return (
        f"scaled to {'max' if normalize == 'row_max' else 'total'} {score}{' of each row' if several else ''}"
    )


def target_name(target: TargetRow) -> str:
    """The label of a target, with the label of its contrast if it has one: ``"tea − coffee"``."""
    return target.label if target.against is None else f"{target.label} {_MINUS} {target.against}"


def target_facts(target: TargetRow, answers: int | None = None) -> str:
    """Facts about a target, such as ``"masked, logit 8.10"``; the score is left out if it is not known.

    The probability of the explained label is added if the model's first ``answers`` answers do not include it.
    """
    score = "" if math.isnan(target.score) else f"{target.unit} {decimals(target.score)}"
    known = probabilities_beside(target, answers)
    words = f"{'probability' if len(known) == 1 else 'probabilities'} {' and '.join(known)}" if known else ""
    return ", ".join(part for part in ("masked" if target.masked else "", score, words) if part)


def probabilities_beside(target: TargetRow, answers: int | None = None) -> tuple[str, ...]:
    """The probabilities of a label and its contrast, to print next to answers that could be mistaken for the label.

    Empty if no answers are shown, or if they include the label and there is no contrast. ``answers`` is the number of
    the model's answers that are shown, or None for all.
    """
    shown = target.predictions[:answers]
    if not shown or target.probability is None:
        return ()
    explained = probability_words(target.probability)
    if target.against is None:
        return () if target.class_id in {each.class_id for each in shown} else (explained,)
    if target.against_probability is None:
        return (explained,)
    return (explained, probability_words(target.against_probability))


def probability_words(probability: float) -> str:
    """A probability such as ``"0.77"``, ``"0.0005"`` or ``"<0.0001"``, with enough digits to show small ones."""
    if probability >= 0.005 or math.isnan(probability):
        return f"{probability:.2f}"
    return f"{probability:.1g}" if probability >= 0.0001 else "<0.0001"


def decimals(value: float, digits: int = 2) -> str:
    """Print a number with a minus sign instead of a hyphen."""
    return f"{value:.{digits}f}".replace("-", _MINUS)


def strongest(
    labels: Sequence[str], strengths: np.ndarray, target: TargetRow, count: int
) -> list[tuple[int, str, float]]:
    """Column, label and strength of the tokens of largest magnitude, without the target's own tokens and zeros."""
    order = np.argsort(-np.abs(np.nan_to_num(strengths)), kind="stable").tolist()
    chosen = [
        i for i in order if i not in target.positions and np.isfinite(strengths[i]) and strengths[i] != 0
    ]
    return [(i, labels[i], float(strengths[i])) for i in chosen[:count]]


def incomplete_words(heat: SaliencyMap, row: int) -> str:
    """``"does not add up: misses 4.1 by 1303"`` for a row that fails its completeness check, otherwise empty."""
    sums, delta = heat.missed_sums, heat.convergence_delta
    if sums is None or delta is None or math.isnan(sums[row]):
        return ""
    return f"does not add up: misses {_amount(sums[row])} by {_amount(delta[row])}"


def incomplete_note(heat: SaliencyMap) -> str:
    """The same for a whole map: its worst row and, if it has several targets, how many fail."""
    rows = heat.incomplete
    if not rows or heat.convergence_delta is None:
        return ""
    worst = max(rows, key=lambda row: abs(np.nan_to_num(heat.convergence_delta[row], nan=np.inf)))  # type: ignore[index]
    if len(heat.targets) == 1:
        return incomplete_words(heat, worst)
    words = incomplete_words(heat, worst).removeprefix("does not add up: ")
    return f"{len(rows)} of {len(heat.targets)} targets do not add up; {heat.targets[worst].label!r} {words}"


def _amount(value: float) -> str:
    """A number with two significant digits, or an integer from a hundred on."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}"
    return text.replace("-", _MINUS)


def summary(heat: SaliencyMap) -> str:
    """Shape, text, method, targets and model of a map, in lines of at most 80 characters."""
    units = " ".join(sorted({target.unit for target in heat.targets})) or "no unit"
    sign = "signed" if heat.signed else "unsigned"
    shape = f"{counted(len(heat.targets), 'target')} x {counted(len(heat.tokens), 'token')}"
    details = ", ".join(f"{key}={value!r}" for key, value in heat.arguments.items())
    lines = [
        f"SaliencyMap: {shape}, {units}, {sign} {heat.scores.dtype}",
        f"  text     {' | '.join(map(repr, heat.texts))}",
        f"  targets  {', '.join(map(_listed, heat.targets[:20])) or 'none'}",
        f"  method   {heat.method}({details})",
    ]
    bad = int(np.sum(~np.isfinite(heat.scores)))
    if bad:
        lines.append(f"  scores   {bad} of {heat.scores.size} not finite")
    if heat.convergence_delta is not None and heat.convergence_delta.size:
        lines.append(f"  delta    {np.abs(heat.convergence_delta).max():.2e} (largest of a row)")
    note = incomplete_note(heat)
    if note:
        lines.append(f"  warning  {note}")
    if "precision" in heat.provenance:
        lines.append(f"  numbers  {heat.provenance['precision']}")
    if "model" in heat.provenance:
        lines.append(f"  model    {heat.provenance['model']}")
    return "\n".join(_short(line) for line in lines)


def _listed(target: TargetRow) -> str:
    beside = ", ".join(probabilities_beside(target))
    return repr(target_name(target)) + (f" ({beside})" if beside else "")


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``"1 target"``, ``"2 targets"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(line: str) -> str:
    line = " ".join(line.splitlines())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."

"""Result: makes the map of a text from the results of its rows, and warns of numbers that cannot be trusted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import torch

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.adapter.weights import fingerprint, versions
from hf_saliency.attribution.method import Method
from hf_saliency.errors import Unit, warn
from hf_saliency.explain.attribute import RowResult
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.score.baselines import Baseline
from hf_saliency.score.products import Products
from hf_saliency.targets.target import Row, Target

# If scores cancel to a smaller part of their magnitudes than this, a delta is measured relative to this part.
_CANCELLED = 0.01


@dataclass(frozen=True)
class Origin:
    """The origin of a map's numbers, and the products that are faster; determined again only after a training step."""

    key: object
    products: Products | None
    provenance: Mapping[str, str]

    @classmethod
    def of(cls, text_model: TextModel, fast_products: bool | None, known: Origin | None) -> Origin:
        """Return the known origin if weights and threads are still the same; otherwise a new one."""
        model = text_model.model
        key = (versions(model), torch.get_num_threads())
        if known is not None and known.key == key:
            return known
        products = Products.of(model, fast_products) or None
        details = {**_provenance(text_model), "weights": fingerprint(model)}
        return cls(key, products, {**details, "products": "oneDNN"} if products else details)


def _provenance(text_model: TextModel) -> dict[str, str]:
    """The model, tokenizer and libraries that the numbers of a map come from."""
    model = text_model.model
    config = getattr(model, "config", None)
    quantization = getattr(config, "quantization_config", None)
    details = {
        "model": getattr(config, "name_or_path", "") or type(model).__name__,
        "class": type(model).__name__,
        "revision": getattr(config, "_commit_hash", None) or "",
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "quantization": str(getattr(quantization, "quant_method", quantization) or ""),
        "tokenizer": type(text_model.tokenizer).__name__,
    }
    packages = ("hf-saliency", "captum", "torch", "transformers")
    versions = {package: metadata.version(package) for package in packages}
    return {**{key: value for key, value in details.items() if value}, **versions}


def saliency_map(
    encoding: Encoding,
    results: Sequence[tuple[Row, RowResult]],
    target: Target,
    unit: Unit,
    method: Method,
    model: TextModel,
    provenance: Mapping[str, str],
) -> SaliencyMap:
    """Make the map of one text from its rows and their results; warn of numbers that cannot be trusted."""
    dtype = np.result_type(*(result.values.dtype for _, result in results))
    scores = np.zeros((len(results), len(encoding)), dtype)
    for i, (_, result) in enumerate(results):
        scores[i, list(result.columns)] = result.values
    deltas = [result.delta[0] for _, result in results if result.delta is not None]
    made = SaliencyMap(
        texts=encoding.texts,
        tokens=encoding.tokens,
        targets=tuple(_target_row(row, result, target, unit, model) for row, result in results),
        scores=scores,
        method=method.name,
        arguments=_arguments(method, model),
        signed=method.signed,
        convergence_delta=np.array(deltas) if deltas else None,
        provenance=provenance,
        text_names=target.text_names(encoding, model),
    )
    _warn_of_against(made, results)
    _warn_of_non_finite(made)
    missed = _warn_of_delta(made, method, [result.delta for _, result in results if result.delta is not None])
    return made if missed is None else dataclasses.replace(made, missed_sums=missed)


def _arguments(method: Method, model: TextModel) -> dict[str, object]:
    """The method's arguments, with the name of the baseline that it took by default."""
    arguments = dict(method.arguments)
    for key in ("baseline", "of_baseline"):
        if key in arguments and arguments[key] is None:
            arguments[key] = Baseline.of(None, model).name
    return arguments


def _target_row(row: Row, result: RowResult, target: Target, unit: Unit, model: TextModel) -> TargetRow:
    contrasts = [ref.against_id for ref in row.refs if ref.against_id is not None]
    names = _names([*result.class_ids, *contrasts, *(i for i, _ in result.predictions)], row, target, model)
    name = names.__getitem__
    single = len(result.class_ids) == 1
    against = {None if ref.against_id is None else name(ref.against_id) for ref in row.refs}
    label = target.label_of(row, " ".join(map(name, result.class_ids)))
    plain = target.class_name(result.class_ids[0], row, model)
    if single and label.casefold() == plain.casefold() != name(result.class_ids[0]).casefold():
        label = name(result.class_ids[0])  # otherwise an answer that is another token would look like it
    return TargetRow(
        label=label,
        position=row.position,
        positions=row.positions,
        score=result.score,
        unit=unit,
        masked=bool(row.masked),
        against=row.against or (against.pop() if len(against) == 1 else None),
        predictions=tuple(Prediction(name(i), i, p) for i, p in result.predictions),
        class_id=result.class_ids[0] if single else None,
        probability=result.probability,
        against_probability=result.against_probability,
    )


def _names(ids: Sequence[int], row: Row, target: Target, model: TextModel) -> dict[int, str]:
    """The name of each class. Different classes never look alike: tokens that differ only by a space show it."""
    names = {i: target.class_name(i, row, model) for i in ids}
    if type(target).class_name is not Target.class_name:  # labels, or places in the text
        return names
    names = _distinct(names, lambda i: model.class_name(i, exact=True))
    return _distinct(names, lambda i: f"{names[i]} (id {i})")


def _distinct(names: Mapping[int, str], longer: Callable[[int], str]) -> dict[int, str]:
    """Replace each name that several classes share by a longer one."""
    count = Counter(names.values())
    return {i: longer(i) if count[name] > 1 else name for i, name in names.items()}


def _warn_of_against(made: SaliencyMap, results: Sequence[tuple[Row, RowResult]]) -> None:
    same = [
        target.label
        for target, (row, result) in zip(made.targets, results, strict=True)
        if result.class_ids == tuple(ref.against_id for ref in row.refs)
    ]
    if same:
        warn(
            f"against= names the very class that {len(same)} targets explain ({', '.join(map(repr, same[:5]))}): "
            "their contrast and their scores are zero. Pass a different against= for them.",
            UserWarning,
        )


def _warn_of_non_finite(made: SaliencyMap) -> None:
    rows = zip(made.targets, made.scores, strict=True)
    bad = [target.label for target, row in rows if not np.isfinite([target.score, *row]).all()]
    if bad:
        # Float64 masks become infinite in a softmax that the model computes in float32 (Longformer, LED).
        where = "In float64" if made.scores.dtype == np.float64 else "In half precision"
        warn(
            f"the scores of {len(bad)} targets are not finite ({', '.join(map(repr, bad[:5]))}): the model's "
            f"output or gradient is NaN or infinite there. Figures hatch them. {where}, load the model with "
            "dtype=torch.float32.",
        )


def _warn_of_delta(
    made: SaliencyMap, method: Method, deltas: Sequence[tuple[float, float]]
) -> np.ndarray | None:
    """Warn of rows that fail the completeness check; return the sums that they should have, NaN for the others."""
    if not deltas:
        return None
    rounding = 100 * np.finfo(made.scores.dtype).eps
    parts = []
    for (delta, total), scores, target in zip(deltas, made.scores, made.targets, strict=True):
        magnitude = np.abs(scores).sum(dtype=np.float64)
        floor = rounding * (magnitude + abs(target.score))
        # If scores cancel, the difference is too small to measure their error by.
        whole = max(abs(total), _CANCELLED * magnitude)
        parts.append(np.inf if not np.isfinite(delta) else 0.0 if abs(delta) <= floor else abs(delta) / whole)
    bad = [i for i, part in enumerate(parts) if part > method.tolerance]
    if not bad:
        return None
    worst = max(bad, key=lambda i: parts[i])
    warn(
        f"{made.method}: the scores of {len(bad)} of {len(deltas)} targets do not add up to the difference that they "
        f"should explain; for {made.targets[worst].label!r} the sum differs from {deltas[worst][1]:.3g} by "
        f"{deltas[worst][0]:.2g} (convergence_delta). Use {method.remedy}.",
    )
    missed = np.full(len(deltas), np.nan)
    missed[bad] = [np.inf if np.isnan(deltas[i][1]) else deltas[i][1] for i in bad]
    return missed

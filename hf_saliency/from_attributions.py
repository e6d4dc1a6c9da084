"""From attributions computed elsewhere to what a map holds: arrays of any library, encodings of any origin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hf_saliency.encoded_text import EncodedText, encoded
from hf_saliency.errors import SaliencyError
from hf_saliency.target_row import TargetRow

_REDUCTIONS = {
    "total": lambda values: values.sum(axis=-1),
    "norm": lambda values: np.linalg.norm(values, axis=-1),
    "norm_1": lambda values: np.abs(values).sum(axis=-1),
    "mean": lambda values: values.mean(axis=-1),
    "max": lambda values: values.max(axis=-1),
}


def fields(
    attributions: Any,
    encoding: Any,
    *,
    text: str | tuple[str, str] | None,
    targets: Any,
    signed: bool | None,
    reduction: str,
    convergence_delta: Any,
) -> dict[str, Any]:
    """What ``SaliencyMap`` takes, from what ``SaliencyMap.from_attributions`` takes.

    Parameters
    ----------
    attributions
        As there.
    encoding
        As there.
    text
        As there.
    targets
        As there.
    signed
        As there.
    reduction
        As there.
    convergence_delta
        As there.

    Returns
    -------
    dict
        All but method, arguments and provenance.
    """
    if reduction not in _REDUCTIONS:
        raise SaliencyError(f"reduction={reduction!r}: choose one of {', '.join(map(repr, _REDUCTIONS))}.")
    read = encoded(encoding, text)
    rows = None if targets is None else _rows(targets)
    count = None if rows is None else len(rows)
    several = isinstance(attributions, (tuple, list)) and len(attributions) > 1
    if several and all(hasattr(one, "shape") for one in attributions):
        scores = _of_sequences(attributions, encoding, read, count, reduction)
    else:
        scores = _scores(_values(attributions), read.count, count, reduction)[:, read.columns]
    delta = None if convergence_delta is None else _array(convergence_delta, "convergence_delta")
    return {
        "texts": read.texts,
        "tokens": read.tokens,
        "targets": _named(len(scores)) if rows is None else tuple(_moved(row, read) for row in rows),
        "scores": scores,
        "signed": bool((scores < 0).any()) if signed is None else signed,
        "convergence_delta": None if delta is None else np.atleast_1d(delta).astype(np.float64),
    }


def _of_sequences(
    attributions: Sequence[Any], encoding: Any, read: EncodedText, targets: int | None, reduction: str
) -> Float[np.ndarray, "targets tokens"]:
    """One tensor for each sequence that enters the model, as Captum returns them, side by side."""
    parts = getattr(encoding, "parts", (range(read.count),))
    if len(parts) != len(attributions):
        raise SaliencyError(
            f"attributions are {len(attributions)} tensors, but the encoding has {len(parts)} sequences: give one "
            "tensor each, and the encoding of the same target, explainer.encode(text, target=target)."
        )
    found = []
    for part, one in zip(parts, attributions, strict=True):
        values = _values(one)
        # Captum's rows are padded to the longest choice.
        axis = 0 if values.ndim == 1 or (values.ndim == 2 and targets is None) else 1
        length = max(len(part), values.shape[axis])
        found.append(_scores(values, length, targets, reduction)[:, : len(part)])
    return np.concatenate(found, axis=1)


def _values(given: Any) -> np.ndarray:
    values = _array(given, "attributions")
    if values.dtype.kind != "f" or values.dtype.itemsize > 8:
        raise SaliencyError(f"attributions are {values.dtype}: give floating-point numbers.")
    return values


def _array(given: Any, name: str) -> np.ndarray:
    """A NumPy array, in float32 where NumPy or this package has no use for the precision."""
    if isinstance(given, (tuple, list)) and len(given) == 1:  # Captum returns a list for a list of layers
        (given,) = given
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        if str(given.dtype) != "torch.float64" and given.is_floating_point():
            given = given.float()  # NumPy has no bfloat16
        return np.asarray(given.numpy())
    if not isinstance(given, (float, np.number)) and not hasattr(given, "__array__"):
        raise SaliencyError(f"{name} must be one tensor or NumPy array, not {type(given).__name__}.")
    array = np.asarray(given)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _scores(
    values: np.ndarray, tokens: int, targets: int | None, reduction: str
) -> Float[np.ndarray, "targets all_tokens"]:
    """One row a target and one column a token, padding included."""
    count = "targets" if targets is None else targets
    shape = values.shape
    by_token = shape[:1] == (tokens,) and targets in (None, 1)  # the first axis is the tokens
    by_target = shape[1:2] == (tokens,) and targets in (None, shape[0])
    if values.ndim == 1 and by_token:
        return values[None]
    if values.ndim == 2 and by_token and by_target and tokens > 1:
        raise SaliencyError(
            f"attributions of shape {shape} for {tokens} tokens are of one target (tokens, width) or of several "
            "(targets, tokens): name the targets, such as targets='grammar', or give attributions[None]."
        )
    if values.ndim == 3 and by_target:
        return np.asarray(_REDUCTIONS[reduction](values))
    if values.ndim == 2 and by_target:
        return values
    if values.ndim == 2 and by_token:
        return np.asarray(_REDUCTIONS[reduction](values)[None])
    one = f"({tokens},), ({tokens}, width), " if targets in (None, 1) else ""
    raise SaliencyError(
        f"attributions have shape {shape}, but the encoding has {tokens} tokens"
        f"{'' if targets is None else f' and targets= names {targets}'}: give {one}({count}, {tokens}) or "
        f"({count}, {tokens}, width)."
    )


def _rows(targets: Any) -> tuple[TargetRow, ...]:
    given: Sequence[Any] = [targets] if isinstance(targets, (str, TargetRow)) else targets
    if not isinstance(given, (tuple, list)) or any(not isinstance(one, (str, TargetRow)) for one in given):
        raise SaliencyError(
            f"targets={targets!r}: give a label, a list of labels, or hs.TargetRow values, one for each row."
        )
    return tuple(TargetRow(one, None, float("nan")) if isinstance(one, str) else one for one in given)


def _named(count: int) -> tuple[TargetRow, ...]:
    """Targets of which nothing is known."""
    labels = ["score"] if count == 1 else [f"score {i + 1}" for i in range(count)]
    return _rows(labels)


def _moved(row: TargetRow, read: EncodedText) -> TargetRow:
    """The target with its column counted without padding."""
    if any(each not in read.columns for each in row.positions):
        raise SaliencyError(f"{row} stands at padding or outside of the {read.count} tokens.")
    return row.moved({old: new for new, old in enumerate(read.columns)})

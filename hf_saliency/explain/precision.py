"""Precision: lower on request, with some rows repeated in float32 to measure the error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch

from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError, one_of, warn
from hf_saliency.explain.attribute import RowResult
from hf_saliency.targets.target import Row

Precision = Literal["bfloat16"]

EVERY = 16  # one row in this many is repeated
LARGEST_ERROR = 0.1  # of the largest score of a row; a larger error is warned of
SMALLEST_RANK = 0.9


def check_precision(precision: Precision | None, model: TextModel) -> None:
    """Refuse an unknown precision, or one that lowers nothing."""
    one_of(precision, (None, *get_args(Precision)), "precision")
    dtype = next(model.model.parameters()).dtype
    if precision is not None and dtype is not torch.float32:
        name = str(dtype).removeprefix("torch.")
        raise SaliencyError(
            f"precision={precision!r} is for a model in float32, and this one is in {name}: omit precision=, or "
            "load the model with dtype=torch.float32."
        )


def lowered(
    evaluate: Callable[[Sequence[Row]], list[RowResult]], rows: Sequence[Row], model: TextModel
) -> tuple[list[RowResult], Deviation]:
    """Return results with matrix products in bfloat16, and their deviation; warn if it is large.

    Weights and gradients stay in float32.
    """
    with torch.autocast(model.streams[0].device.type, torch.bfloat16):
        results = evaluate(rows)
    deviation = Deviation.between(results[::EVERY], evaluate(rows[::EVERY]), len(rows))
    deviation.warn()
    return results, deviation


@dataclass(frozen=True)
class Deviation:
    """Deviation of some rows from float32.

    ``error`` is the largest error relative to a row's largest score, ``rank`` the lowest rank correlation, ``rows`` the
    number of rows compared, ``of`` that of all rows.
    """

    error: float
    rank: float
    rows: int
    of: int

    @classmethod
    def between(cls, low: Sequence[RowResult], exact: Sequence[RowResult], of: int) -> Deviation:
        """Compare rows in lower precision with the same rows in float32; ``of`` is the number of all rows."""
        errors, ranks = [0.0], [1.0]
        for half, full in zip(low, exact, strict=True):
            largest = np.abs(full.values).max(initial=0.0)
            if largest > 0:
                errors.append(float(np.abs(half.values - full.values).max() / largest))
            if len(full.values) > 2 and np.ptp(full.values) > 0:
                order = [
                    np.argsort(np.argsort(values, kind="stable")) for values in (half.values, full.values)
                ]
                ranks.append(float(np.corrcoef(order[0], order[1])[0, 1]))
        # The maximum of NaN and a number is NaN, so NaN leads to a warning.
        return cls(float(np.max(errors)), float(np.min(ranks)), len(low), of)

    def __str__(self) -> str:
        checked = f"{self.rows} of {self.of} rows repeated"
        return f"bfloat16, error {self.error:.1e}, rank {self.rank:.3f} ({checked})"

    def warn(self) -> None:
        """Warn if the numbers are too far apart."""
        if self.error <= LARGEST_ERROR and self.rank >= SMALLEST_RANK:
            return
        warn(
            f"in bfloat16 the scores are off by up to {self.error:.1%} of the largest score of a row, and rank tokens "
            f"with a correlation of {self.rank:.2f} to float32 ({self.rows} of {self.of} rows were repeated in "
            "float32). Omit precision= for exact scores.",
        )

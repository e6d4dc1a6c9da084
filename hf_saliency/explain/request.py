"""A request: what is asked of a model, the same for any number of texts."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.exact_ids import with_ids
from hf_saliency.adapter.guards import HeldInterrupts
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.attribution.method import Method
from hf_saliency.errors import SaliencyError
from hf_saliency.explain.attribute import RowResult
from hf_saliency.explain.precision import EVERY, Deviation, Precision, lowered
from hf_saliency.explain.result import saliency_map
from hf_saliency.explain.run import explain_rows
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.score.products import Products
from hf_saliency.targets.target import Row, Target


@dataclass(frozen=True)
class Job:
    """One text as the model reads it, its rows, and the target that they are of."""

    encoding: Encoding
    rows: tuple[Row, ...]
    target: Target

    @property
    def tokens(self) -> int:
        """How many tokens all of its rows have."""
        return len(self.encoding) * len(self.rows)


def check_contrast(jobs: Sequence[Job]) -> None:
    """Refuse texts of which every row subtracts the very score that it explains."""
    if jobs and all(row.against_itself for job in jobs for row in job.rows):
        raise SaliencyError(
            "against= names the very class that is explained, so that the contrast is always zero: pass a different "
            "against=, or omit it."
        )


@dataclass(frozen=True)
class Request:
    """A target, a method and their options, checked."""

    model: TextModel
    target: Target
    method: Method
    top_k: int
    overflow: Overflow
    batch_tokens: int
    provenance: Mapping[str, str]
    products: Products
    precision: Precision | None = None

    def job(self, text: Any, target: Target | None = None) -> Job:
        """A text as the model reads it, and its rows; refuses a text that the target or the model cannot take.

        ``target`` may be another one with the same readout, such as one at another word.
        """
        target = target or self.target
        encoding = target.encode(with_ids(text, self.model.tokenizer), self.model, self.overflow)
        return Job(encoding, tuple(target.rows(encoding, self.model)), target)

    def maps(self, jobs: Sequence[Job], *, progress: bool) -> list[SaliencyMap]:
        """The map of each text, in order; rows of similar length share a batch, whatever text they are of."""
        rows = [row for job in jobs for row in job.rows]
        # Autograd cannot save tensors of inference mode.
        provenance = dict(self.provenance)
        with HeldInterrupts(), torch.inference_mode(False), self.products.entered():
            with lowered(self.precision, self.model):
                results = self._results(rows, progress)
            if self.precision is not None:
                exact = self._results(rows[::EVERY], progress=False)
                deviation = Deviation.between(results[::EVERY], exact, len(rows))
                provenance["precision"] = str(deviation)
                deviation.warn()
        unit_of = functools.cache(lambda parts: self.target.readout(self.model, parts).unit)
        maps, start = [], 0
        for job in jobs:  # a loop, for warnings that name the caller
            end = start + len(job.rows)
            unit = unit_of(len(job.encoding.parts))
            pairs = list(zip(job.rows, results[start:end], strict=True))
            maps.append(
                saliency_map(job.encoding, pairs, job.target, unit, self.method, self.model, provenance)
            )
            start = end
        return maps

    def _results(self, rows: Sequence[Row], progress: bool) -> list[RowResult]:
        """The result of each row."""
        return explain_rows(
            self.model,
            self.target,
            self.method,
            rows,
            top_k=self.top_k,
            batch_tokens=self.batch_tokens,
            progress=progress,
        )

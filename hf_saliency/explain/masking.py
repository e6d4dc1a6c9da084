"""Masking: scores of a text with some of its tokens masked, the evaluations behind metrics of faithfulness."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.guards import HeldInterrupts
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.explain.batches import spoiled, sweep
from hf_saliency.score import last_layer
from hf_saliency.score.baselines import Baseline
from hf_saliency.score.batch import Batch, collate, kept, seen, shape
from hf_saliency.score.passes import PassResult
from hf_saliency.score.products import Products
from hf_saliency.score.score import Score
from hf_saliency.targets.target import Row, Target


class Variants:
    """The rows of a target in one text, and their scores when some of its tokens are masked.

    A masked token keeps its place: only its embedding is replaced by the baseline's.
    """

    def __init__(
        self,
        model: TextModel,
        target: Target,
        encoding: Encoding,
        baseline: Any,
        batch_tokens: int,
        products: Products | None,
    ) -> None:
        self._model, self._target, self._products = model, target, products
        self._baseline, self._batch_tokens = Baseline.of(baseline, model), batch_tokens
        self._readout = target.readout(model, len(encoding.parts))
        self.encoding = encoding
        self.rows = target.rows(encoding, model)
        self.unit = self._readout.unit

    @functools.cached_property
    def removable(self) -> Bool[np.ndarray, "targets tokens"]:
        """The tokens that a mask can remove: seen by the row, not special, and not a mask already."""
        plain = [not token.special for token in self.encoding.tokens]
        mask = self._model.tokenizer.mask_token_id
        tokens = np.zeros((len(self.rows), len(self.encoding)), bool)
        for number, row in enumerate(self.rows):
            columns = [i for part in seen(row, self._model) for i in part if i not in row.masked]
            free = [i for i in columns if plain[i] and (mask is None or self.encoding.ids[i] != mask)]
            tokens[number, free] = True
        return tokens

    def scores(self, keep: Any) -> Float[np.ndarray, "targets variants"]:
        """Return the score of each row in each variant; ``keep`` as in :meth:`hf_saliency.Explainer.score_masked`."""
        tokens, targets = len(self.encoding), len(self.rows)
        stays = _checked(np.ones((1, tokens), bool) if keep is None else keep, tokens, targets)
        numbers = np.repeat(np.arange(targets), stays.shape[1]).tolist()
        scores, _ = self.evaluate(numbers, stays.reshape(-1, tokens))
        return scores.reshape(stays.shape[:2])

    def evaluate(
        self, numbers: Sequence[int], keep: Bool[np.ndarray, "variants tokens"]
    ) -> tuple[Float[np.ndarray, " variants"], Int[np.ndarray, "variants refs"]]:
        """Return the scores of variants of the rows with these numbers, and the classes that the model predicts there.

        The class is -1 at a place that a row does not read, and at each place of a target without classes.
        """
        fast = contextlib.nullcontext() if self._products is None else self._products.entered()
        with HeldInterrupts(), torch.inference_mode(False), fast, torch.no_grad():
            return self._scores(numbers, keep)

    def _scores(
        self, numbers: Sequence[int], keep: Bool[np.ndarray, "variants tokens"]
    ) -> tuple[Float[np.ndarray, " variants"], Int[np.ndarray, "variants refs"]]:
        model, readout = self._model, self._readout
        score = Score.of(model, self.rows, readout, self._batch_tokens)
        rows = self._frozen_rows(score)
        encode_like = functools.partial(self._target.encode_like, model=model)
        wide = next(score.streams[0].module.parameters()).dtype == torch.float64
        scores = np.zeros(len(keep), np.float64 if wide else np.float32)
        answers = np.full((len(keep), max(len(row.refs) for row in rows)), -1)

        def step(chosen: Sequence[int], budget: int) -> None:
            score.batch_tokens = budget
            row_numbers = [numbers[variant] for variant in chosen]
            distinct = list(dict.fromkeys(row_numbers))  # each row is laid out once
            batch = collate(model, [rows[i] for i in distinct], readout, score.names)
            nothing = [torch.zeros_like(stays) for stays in kept(model, batch)]
            replaced = self._baseline.embeds(model, batch, nothing, encode_like)
            place_of = torch.tensor([distinct.index(i) for i in row_numbers], device=batch.ids[0].device)
            stays = _stays(model, batch, place_of, keep[list(chosen)])
            embeds = [
                torch.where(stay[..., None], embed[place_of], baseline[place_of])
                for stay, embed, baseline in zip(stays, batch.embeds, replaced, strict=True)
            ]
            sink: list[PassResult] = []
            values = score(*embeds, *(tensor[place_of] for tensor in batch.tensors), sink)
            scores[list(chosen)] = values.tolist()
            for variant, number, classes in zip(chosen, row_numbers, sink[0].classes.tolist(), strict=True):
                for place, best in zip(range(len(rows[number].refs)), classes, strict=False):
                    answers[variant, place] = best[0] if best else -1
            for variant in spoiled(chosen, shapes, np.isfinite(scores[list(chosen)])):
                step([variant], budget)

        shapes = [shape(rows[i], model, readout.layout) for i in numbers]
        each, lengths = [rows[i] for i in numbers], [sum(tokens) for tokens in shapes]
        if sum(lengths) * model.size >= last_layer.WORK:
            score.last_layer = last_layer.tried(score, model, each, lengths, backward=False)
        for _ in sweep(shapes, self._batch_tokens, bool(model.pads), step):
            pass
        return scores, answers

    def _frozen_rows(self, score: Score) -> list[Row]:
        """Return the rows with the class that the model predicts for the whole text, to be used for all variants."""
        rows, model, readout = self.rows, self._model, self._readout
        frozen = list(rows)
        if all(ref.class_id >= 0 for row in rows for ref in row.refs):
            return frozen

        def step(chosen: Sequence[int], budget: int) -> None:
            score.batch_tokens = budget
            batch = collate(model, [rows[i] for i in chosen], readout, score.names)
            _, result = score.with_classes(batch.embeds, batch.tensors)
            for i, ids in zip(chosen, result.class_ids.tolist(), strict=True):
                pairs = zip(rows[i].refs, ids, strict=False)
                refs = tuple(dataclasses.replace(ref, class_id=class_id) for ref, class_id in pairs)
                frozen[i] = dataclasses.replace(rows[i], refs=refs)
            for i in spoiled(chosen, shapes, result.scores.isfinite().tolist()):
                step([i], budget)

        shapes = [shape(row, model, readout.layout) for row in rows]
        for _ in sweep(shapes, self._batch_tokens, bool(model.pads), step):
            pass
        return frozen


def _stays(
    model: TextModel, batch: Batch, place_of: Tensor, keep: Bool[np.ndarray, "variants tokens"]
) -> list[Bool[Tensor, "variants _"]]:
    """The tokens of each stream that keep their embedding: special ones, masks, padding and those in ``keep``."""
    always = kept(model, batch)
    chosen = [stays[place_of] for stays in always]
    for part, stays in enumerate(chosen):
        for i, number in enumerate(place_of.tolist()):
            columns = list(batch.columns[number][part])
            stays[i, : len(columns)] |= torch.from_numpy(keep[i, columns]).to(stays.device)
    return chosen


def _checked(keep: Any, tokens: int, targets: int) -> Bool[np.ndarray, "targets variants tokens"]:
    """Return the tokens that stay, for each target and variant; refuse another type or shape."""
    array = keep.detach().cpu().numpy() if isinstance(keep, Tensor) else np.asarray(keep)
    shapes = f"(variants, {tokens}) or ({targets}, variants, {tokens})"
    if array.dtype != np.bool_:
        raise SaliencyError(
            f"keep= holds {array.dtype}: give a boolean array of shape {shapes}, True where a token stays."
        )
    fits = array.ndim == 2 or (array.ndim == 3 and len(array) == targets)
    if not fits or array.shape[-1] != tokens:
        raise SaliencyError(
            f"keep= has the shape {array.shape}: the text has {tokens} tokens, special ones included, and the target "
            f"{targets} rows, so give a boolean array of shape {shapes}."
        )
    return np.broadcast_to(array, (targets, *array.shape[-2:]))

"""Explainer: the one place where the adapter, the attribution and the result meet."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import nn

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.attribution.registry import as_method
from hf_saliency.errors import SaliencyError, integer, is_one, listed
from hf_saliency.explain.attribute import RowResult
from hf_saliency.explain.result import provenance, saliency_map
from hf_saliency.explain.run import explain_rows, score_of
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.score.baselines import Baseline
from hf_saliency.score.batch import collate, kept
from hf_saliency.score.score import Score
from hf_saliency.targets.default import default_target, example
from hf_saliency.targets.target import Row, Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# Rows of a batch share each weight matrix that is read; past this many tokens more of them bring no more speed.
BATCH_TOKENS = {"cpu": 1024, "cuda": 32768}


class Explainer:
    """Explains the predictions of a Hugging Face text model: which tokens of the text does a score depend on?

    The model is used in eval mode and without weight gradients; it is left as it was. Explainers of one model may
    be used from several threads.

    Parameters
    ----------
    model
        A text model of transformers, or any module around one: masked, causal and encoder-decoder language
        models, classifiers of texts and tokens, and heads of one's own; or a ``SentenceTransformer``.
    tokenizer
        The tokenizer that belongs to it. A ``SentenceTransformer`` has its own.
    embedding
        The ``nn.Embedding`` that reads the token ids; only needed for a module in which there are several to
        choose from.
    inputs
        What the model needs beside the text, by name: the same in every call. A tensor of one row is repeated for
        each row of a batch; a function is called with the model's other inputs and returns the value.
    batch_tokens
        How many tokens, padding included, share one forward and backward pass: memory follows it. By default
        1,024 on a CPU and 32,768 on a GPU. A batch that does not fit into memory is halved.
    progress
        Whether to show a progress bar, on standard error, for work of more than two seconds.

    Raises
    ------
    SaliencyError
        If the model cannot be explained; the message says why.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("the formal study of grammar is an important part of education")
    >>> heat.scores.shape
    (11, 13)
    >>> heat.targets[4].label, heat.targets[4].predictions[0].label
    ('grammar', 'education')
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        embedding: nn.Module | None = None,
        inputs: Mapping[str, Any] | None = None,
        batch_tokens: int | None = None,
        progress: bool = True,
    ) -> None:
        if batch_tokens is not None and (integer(batch_tokens) or 0) < 1:
            raise SaliencyError(
                f"batch_tokens={batch_tokens!r}: give a positive number of tokens, such as 1024."
            )
        self.text_model = TextModel(model, tokenizer, embedding, inputs)
        device = self.text_model.streams[0].device.type
        self.batch_tokens = batch_tokens or BATCH_TOKENS.get(device, BATCH_TOKENS["cpu"])
        self.progress = progress

    @overload  # a string is a sequence of strings, too: the first that fits counts
    def __call__(  # type: ignore[overload-overlap]
        self,
        texts: str | tuple[str, ...],
        *,
        target: Target | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> SaliencyMap: ...
    @overload
    def __call__(
        self,
        texts: Sequence[str | tuple[str, ...]],
        *,
        target: Target | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> list[SaliencyMap]: ...
    @overload
    def __call__(
        self,
        texts: list[dict[str, str]],
        *,
        target: Target | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> SaliencyMap: ...
    @overload
    def __call__(
        self,
        texts: Sequence[Any],
        *,
        target: Target | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> Any: ...
    def __call__(
        self,
        texts: Any,
        *,
        target: Target | None = None,
        method: Any = None,
        top_k: int = 3,
        overflow: Overflow = "error",
    ) -> Any:
        """Explain a text, or several at once.

        Parameters
        ----------
        texts
            A string; a tuple of strings that belong together, such as ``(premise, hypothesis)`` or ``(prompt,
            continuation)``; a conversation, which is a list of ``{"role": ..., "content": ...}`` and may be the
            prompt of such a tuple; or a sequence of any of these.
        target
            What to explain. By default what the model is for: each position of a masked language model masked in
            turn; each next token of a causal one; the label that a classifier predicts, for the text or for each
            token; what an encoder-decoder writes; how similar two texts are to a model that embeds texts.
        method
            How: a method such as ``hs.gradient_norm()`` (the default), a Captum class, or a function from the
            score to a Captum attribution.
        top_k
            How many of the model's predictions to keep for each target.
        overflow
            What to do with a text longer than the model's limit: ``"error"``; ``"truncate"`` explains its
            beginning; ``"windows"`` explains each target within as many tokens around it as the model reads
            (tokens outside have the score zero, since the prediction cannot depend on them).

        Returns
        -------
        SaliencyMap or list of SaliencyMap
            One for a string, a tuple or a conversation; a list of them for a sequence.

        Raises
        ------
        SaliencyError
            If a text, the target or the method does not fit the model; nothing has been computed then.
        """
        single = is_one(texts)
        given = [texts] if single else listed(texts)
        number_kept = integer(top_k)
        if number_kept is None or number_kept < 0:
            raise SaliencyError(f"top_k={top_k!r}: give the number of predictions to keep, 0 or more.")
        chosen = self._target(target)
        how = as_method(method)
        encodings = []
        rows: list[tuple[int, Row]] = []
        for number, one in enumerate(given):
            try:
                encoding, own = self._rows(one, chosen, overflow)
            except SaliencyError as error:
                if single:
                    raise
                raise SaliencyError(f"texts[{number}]: {error}") from error
            encodings.append(encoding)
            rows += [(number, row) for row in own]
        if rows and all(row.against_itself for _, row in rows):
            raise SaliencyError(
                "against= names the very class that is explained, and its score less itself is always zero: give "
                "another one, or leave against= out."
            )
        with torch.inference_mode(False):  # whose tensors autograd could not save
            results = explain_rows(
                self.text_model,
                chosen,
                how,
                [row for _, row in rows],
                top_k=number_kept,
                batch_tokens=self.batch_tokens,
                progress=self.progress,
            )
        grouped: list[list[tuple[Row, RowResult]]] = [[] for _ in encodings]
        for (number, row), result in zip(rows, results, strict=True):
            grouped[number].append((row, result))
        maps = []
        # A loop, for warnings that name the caller.
        for encoding, done in zip(encodings, grouped, strict=True):
            unit = chosen.readout(self.text_model, len(encoding.parts)).unit
            maps.append(saliency_map(encoding, done, chosen, unit, how, self.text_model, self._provenance))
        return maps[0] if single else maps

    def encode(self, text: Any, *, target: Target | None = None, overflow: Overflow = "error") -> Encoding:
        """A text as the model reads it: token ids and places, for :meth:`SaliencyMap.from_attributions`.

        Parameters
        ----------
        text
            A string, a tuple of texts that belong together, or a conversation.
        target
            Which target it is for, by default the model's own: a tuple is one sequence to some and several to
            others. A string without a target is one sequence.
        overflow
            ``"error"`` or ``"truncate"``, for a text longer than the model's limit.

        Returns
        -------
        Encoding
        """
        if isinstance(text, str) and target is None:
            return self.text_model.encode(text, overflow)
        return self._target(target).encode(text, self.text_model, overflow)

    def captum(
        self, text: Any, *, target: Target | None = None, baseline: Any = None
    ) -> tuple[Score, dict[str, Any]]:
        """What plain Captum needs: the explained score as a module, and the arguments of ``attribute``.

        The targets are the rows of one batch. Captum may repeat them as it likes: a call of the score with more
        than ``batch_tokens`` tokens is done in pieces, so that memory stays bounded.

        Parameters
        ----------
        text
            What one explanation is of: a string, a tuple of texts that belong together, or a conversation.
        target
            As in a call.
        baseline
            What stands for an absent token, as in :func:`hf_saliency.integrated_gradients`; then the arguments
            hold ``baselines``, which not every method of Captum takes.

        Returns
        -------
        Score
            A ``torch.nn.Module`` from embeddings to one number a target. ``score.sites[0]`` is the layer to give
            to the layer methods of Captum.
        dict
            ``inputs`` and ``additional_forward_args``, and ``baselines`` if one is given. Where several sequences enter
            the model (source and target, two texts that are compared, choices), ``inputs`` is a tuple with one tensor
            each, and ``score.sites`` has as many.

        Raises
        ------
        SaliencyError
            If the text, the target or the baseline does not fit the model.

        Examples
        --------
        >>> import captum.attr
        >>> import hf_saliency as hs
        >>> explainer = hs.Explainer(*hs.load_demo())
        >>> score, arguments = explainer.captum("She drank hot tea.", target=hs.MaskedToken("tea"))
        >>> captum.attr.IntegratedGradients(score).attribute(**arguments, n_steps=20).shape
        torch.Size([1, 9, 384])
        """
        chosen, model = self._target(target), self.text_model
        encoding, rows = self._rows(text, chosen, "error")
        readout = chosen.readout(model, len(encoding.parts))
        with torch.inference_mode(False):
            score = score_of(model, rows, readout, self.batch_tokens)
            batch = collate(model, rows, readout, score.names, trim=False)
            extra, _ = score.with_classes(batch.embeds, batch.tensors)
            embeds = tuple(stream.requires_grad_() for stream in batch.embeds)
            arguments: dict[str, Any] = {"inputs": embeds, "additional_forward_args": extra}
            if baseline is not None:
                of = Baseline.of(baseline, model)
                encode_like = functools.partial(chosen.encode_like, model=model)
                replaced = of.embeds(model, batch, kept(model, batch), encode_like)
                arguments["baselines"] = replaced
        single = {key: value[0] for key, value in arguments.items() if key != "additional_forward_args"}
        return score, arguments if len(embeds) > 1 else {**arguments, **single}

    def _rows(self, given: Any, target: Target, overflow: Overflow) -> tuple[Encoding, list[Row]]:
        """A text as the model reads it, and its rows."""
        encoding = target.encode(given, self.text_model, overflow)
        rows = target.rows(encoding, self.text_model)
        return encoding, rows

    def _target(self, target: Target | None) -> Target:
        if target is None:
            return default_target(self.text_model)
        if not isinstance(target, Target):
            raise SaliencyError(
                f"target={target!r}: give a target such as {example(self.text_model, target)}."
            )
        target.check(self.text_model)
        return target

    @functools.cached_property
    def _provenance(self) -> dict[str, str]:
        return provenance(self.text_model)

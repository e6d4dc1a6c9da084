"""Explainer: the one place where the adapter, the attribution and the result meet."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import nn
from tqdm.auto import tqdm

from hf_saliency import __version__
from hf_saliency.adapter.baselines import Baseline
from hf_saliency.adapter.batch import PREDICTED, Batch, collate, names, sweep
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.features import kept
from hf_saliency.adapter.score import Outcome, Score
from hf_saliency.adapter.targets import MaskedToken, Row, Target
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.attribution.method import Method
from hf_saliency.attribution.methods import as_method
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import SaliencyError
from hf_saliency.found import Found, attributed
from hf_saliency.result import saliency_map
from hf_saliency.saliency_map import SaliencyMap

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
        A masked language model of transformers, or one with its interface.
    tokenizer
        The tokenizer that belongs to it.
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
    ('grammar', 'mathematics')
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_tokens: int | None = None,
        progress: bool = True,
    ) -> None:
        if batch_tokens is not None and batch_tokens < 1:
            raise SaliencyError(
                f"batch_tokens={batch_tokens}: give a positive number of tokens, such as 1024."
            )
        self.text_model = TextModel(model, tokenizer)
        device = self.text_model.streams[0].device.type
        self.batch_tokens = batch_tokens or BATCH_TOKENS.get(device, BATCH_TOKENS["cpu"])
        self.progress = progress

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is a sequence of strings too, and comes first
        self,
        texts: str,
        *,
        target: Target | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> SaliencyMap: ...
    @overload
    def __call__(
        self,
        texts: Sequence[str],
        *,
        target: Target | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> list[SaliencyMap]: ...
    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        target: Target | None = None,
        method: Any = None,
        top_k: int = 3,
        overflow: Overflow = "error",
    ) -> SaliencyMap | list[SaliencyMap]:
        """Explain a text, or several at once.

        Parameters
        ----------
        texts
            A string, or a sequence of strings.
        target
            What to explain. By default the sweep of a masked language model: each token that is not special, its
            position masked, the logit of the true token.
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
        SaliencyMap
            For a string; a list of them for a sequence.

        Raises
        ------
        SaliencyError
            If a text, the target or the method does not fit the model; nothing has been computed then.
        """
        if isinstance(texts, bytes) or not isinstance(texts, Iterable):
            raise SaliencyError(
                f"a text must be a string, not {type(texts).__name__}: explainer('Some text.')."
            )
        given = [texts] if isinstance(texts, str) else list(texts)
        if not isinstance(top_k, int) or top_k < 0:
            raise SaliencyError(f"top_k={top_k}: give the number of predictions to keep, 0 or more.")
        chosen = self._target(target)
        how = as_method(method)
        encodings = [self.text_model.encode(text, overflow) for text in given]
        rows = [
            (number, row) for number, e in enumerate(encodings) for row in chosen.rows(e, self.text_model)
        ]
        with torch.inference_mode(False):  # whose tensors autograd could not save
            found = self._explain([row for _, row in rows], chosen, how, top_k)
        grouped: list[list[tuple[Row, Found]]] = [[] for _ in encodings]
        for (number, row), one in zip(rows, found, strict=True):
            grouped[number].append((row, one))
        maps = []
        for encoding, own in zip(
            encodings, grouped, strict=True
        ):  # a loop, for warnings that name the caller
            maps.append(saliency_map(encoding, own, chosen, how, self.text_model, self._provenance))
        return maps[0] if isinstance(texts, str) else maps

    def encode(self, text: str, *, overflow: Overflow = "error") -> Encoding:
        """A text as the model reads it: token ids and places, for :meth:`SaliencyMap.from_attributions`.

        Parameters
        ----------
        text
            A string.
        overflow
            ``"error"`` or ``"truncate"``, for a text longer than the model's limit.

        Returns
        -------
        Encoding
        """
        return self.text_model.encode(text, overflow)

    def captum(
        self, text: str, *, target: Target | None = None, baseline: Any = None
    ) -> tuple[Score, dict[str, Any]]:
        """What plain Captum needs: the explained score as a module, and the arguments of ``attribute``.

        The targets are the rows of one batch. Captum may repeat them as it likes: a call of the score with more
        than ``batch_tokens`` tokens is done in pieces, so that memory stays bounded.

        Parameters
        ----------
        text
            A string.
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
            ``inputs`` and ``additional_forward_args``, and ``baselines`` if one is given.

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
        torch.Size([1, 7, 512])
        """
        chosen, model = self._target(target), self.text_model
        rows = chosen.rows(model.encode(text), model)
        with torch.inference_mode(False):
            score = self._score(rows, chosen)
            batch = self._batch(rows, score.names)
            sink: list[Outcome] = []
            with torch.no_grad():
                score(*batch.embeds, *batch.rows, sink)  # says which class is the most probable
            class_id = score.names.index("class_id")
            extra = (*batch.rows[:class_id], sink[0].class_ids, *batch.rows[class_id + 1 :])
            embeds = tuple(stream.requires_grad_() for stream in batch.embeds)
            arguments: dict[str, Any] = {"inputs": embeds, "additional_forward_args": extra}
            if baseline is not None:
                replaced = Baseline.of(baseline, model).embeds(model, batch, kept(model, batch))
                arguments["baselines"] = replaced
        single = {key: value[0] for key, value in arguments.items() if key != "additional_forward_args"}
        return score, arguments if len(embeds) > 1 else {**arguments, **single}

    def _target(self, target: Target | None) -> Target:
        if target is None:
            return MaskedToken()
        if not isinstance(target, Target):
            raise SaliencyError(f"target={target!r}: give a target such as hs.MaskedToken('grammar').")
        return target

    def _explain(self, rows: Sequence[Row], target: Target, method: Method, top_k: int) -> list[Found]:
        """Every row's scores, in the order given."""
        if not rows:
            return []
        model = self.text_model
        score = self._score(rows, target, top_k)
        attribution = method.build(score, [Vocabulary(stream.module) for stream in model.streams])
        found: dict[int, Found] = {}

        def step(batch: list[int], budget: int) -> None:
            score.batch_tokens = budget
            inputs = self._batch([rows[i] for i in batch], score.names)
            done = attributed(attribution, method, score, model, inputs, budget)
            found.update(zip(batch, done, strict=True))

        lengths = [min(len(row.encoding), model.max_tokens or len(row.encoding)) for row in rows]
        alone = method.draws(attribution)
        with tqdm(total=len(rows), unit="target", delay=2, leave=False, disable=not self.progress) as bar:
            for count in sweep(lengths, self.batch_tokens, model.pads, step, alone=alone):
                bar.update(count)
        return [found[i] for i in range(len(rows))]

    def _score(self, rows: Sequence[Row], target: Target, top_k: int = 1) -> Score:
        """The explained number as a function of embeddings."""
        model = self.text_model
        row_names = names(model, rows)
        return Score(
            model.model,
            model.streams,
            row_names,
            target.read,
            model_inputs=[name for name in row_names if name in model.known],
            top_k=top_k,
            batch_tokens=self.batch_tokens,
        )

    def _batch(self, rows: Sequence[Row], row_names: Sequence[str]) -> Batch:
        class_ids = [PREDICTED if row.class_id is None else row.class_id for row in rows]
        return collate(self.text_model, rows, class_ids, row_names)

    @functools.cached_property
    def _provenance(self) -> dict[str, str]:
        model = self.text_model.model
        config = getattr(model, "config", None)
        quantization = getattr(config, "quantization_config", None)
        details = {
            "model": getattr(config, "name_or_path", "") or type(model).__name__,
            "class": type(model).__name__,
            "revision": getattr(config, "_commit_hash", None) or "",
            "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
            "quantization": str(getattr(quantization, "quant_method", quantization) or ""),
            "tokenizer": type(self.text_model.tokenizer).__name__,
        }
        versions = {package: metadata.version(package) for package in ("captum", "torch", "transformers")}
        return {
            **{key: value for key, value in details.items() if value},
            "hf-saliency": __version__,
            **versions,
        }

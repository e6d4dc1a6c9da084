"""Explainer: the one place where the adapter, the attribution and the result meet."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.guards import HeldInterrupts
from hf_saliency.adapter.pretrained import from_pretrained
from hf_saliency.adapter.text_model import OVERFLOWS, Overflow, TextModel
from hf_saliency.attribution.method import Method
from hf_saliency.attribution.registry import as_method
from hf_saliency.errors import SaliencyError, checks_call, is_one, listed, one_of, whole
from hf_saliency.explain.batches import BATCH_TOKENS
from hf_saliency.explain.masking import Variants
from hf_saliency.explain.precision import Precision, check_precision
from hf_saliency.explain.request import CallOptions, Request, call_checked, check_contrast, encoded
from hf_saliency.explain.result import Origin
from hf_saliency.explain.stream import ON_ERROR, OnError, check_source, stream
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.saliency_maps import SaliencyMaps
from hf_saliency.score.baselines import Baseline
from hf_saliency.score.batch import collate, kept
from hf_saliency.score.products import switch
from hf_saliency.score.score import Score
from hf_saliency.synonyms import EXPLAINER, attribute
from hf_saliency.targets.default import as_target, default_target, summary
from hf_saliency.targets.target import Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Explainer:
    """Explains the predictions of a Hugging Face text model: which tokens of the text does a score depend on?

    The model is used in eval mode and without weight gradients, and is left as it was, also after an error or
    Ctrl-C. Several threads may use explainers of one model; only one of them runs the model at a time. Do not train or
    call the model in another thread meanwhile: it would run in eval mode, with frozen weights.

    Parameters
    ----------
    model
        A text model of transformers, or any module around one: masked, causal and encoder-decoder language models,
        classifiers of texts and tokens, and heads that you wrote; or a ``SentenceTransformer``.
    tokenizer
        The tokenizer that belongs to it. A ``SentenceTransformer`` has its own.
    embedding
        The ``nn.Embedding`` that reads the token ids; only needed for a module that has several.
    inputs
        Other inputs that the model needs, by name, the same in every call. A tensor of one row is repeated for each
        row of a batch; a function is called with the model's other inputs and returns the value.
    batch_tokens
        Number of tokens, padding included, that share one forward and backward pass; memory grows with it. By default
        1,024 on a CPU and 32,768 on a GPU. A batch that does not fit into memory is halved.
    fast_products
        Whether float32 matrix products on a CPU go to oneDNN, up to twice as fast on some processors; scores differ by
        less than 1e-6 of the largest. None measures once per process which is faster, unless the environment variable
        ``HF_SALIENCY_FAST_PRODUCTS`` is 0 or 1. The provenance of a map records it if oneDNN was used.
    precision
        ``"bfloat16"`` for matrix products in bfloat16 (autocast), with weights and gradients in float32, on processors
        and GPUs that support it. One row in 16 is repeated in float32: the provenance records how far the two differ,
        with a warning if the error exceeds a tenth of a row's largest score, or the rank correlation is below 0.9.
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

    @call_checked("Explainer")
    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        embedding: nn.Module | None = None,
        inputs: Mapping[str, Any] | None = None,
        batch_tokens: int | None = None,
        fast_products: bool | None = None,
        precision: Precision | None = None,
        progress: bool = True,
    ) -> None:
        if batch_tokens is not None:
            batch_tokens = whole(batch_tokens, "batch_tokens")
        self.text_model = TextModel(model, tokenizer, embedding, inputs)
        device = self.text_model.streams[0].device.type
        self.batch_tokens = batch_tokens or BATCH_TOKENS.get(device, BATCH_TOKENS["cpu"])
        self.fast_products = switch(fast_products)
        check_precision(precision, self.text_model)
        self.precision = precision
        self.progress = progress
        self._known: Origin | None = None

    @classmethod
    @checks_call
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        task: str | None = None,
        device: str = "auto",
        dtype: Any = "float32",
        revision: str | None = None,
        **options: Any,
    ) -> Explainer:
        """Load a model and its tokenizer, and explain it.

        Parameters
        ----------
        name_or_path
            The folder of a model, or its name on the Hugging Face hub.
        task
            The task to load it for, as named in ``transformers.pipeline``, such as ``"fill-mask"``; by default that of
            the head that its configuration names.
        device
            The device to put it on; ``"auto"`` takes a GPU if there is one.
        dtype
            The dtype of the weights. Explanations in half precision are coarse.
        revision
            A branch, a tag or a commit on the hub.
        **options
            Arguments of :class:`Explainer`, such as ``batch_tokens``; all others go to the model's ``from_pretrained``:
            ``device_map``, ``quantization_config``, ``attn_implementation``, ``trust_remote_code`` (off by default).

        Returns
        -------
        Explainer

        Raises
        ------
        SaliencyError
            If they cannot be loaded, or the model's head is for another task.

        Examples
        --------
        >>> import pathlib, hf_saliency as hs
        >>> folder = pathlib.Path(hs.__file__).parent / "demo"
        >>> explainer = hs.Explainer.from_pretrained(folder, task="fill-mask", device="cpu")
        >>> explainer("She drank hot tea.", target=hs.MaskedToken("tea")).targets[0].label
        'tea'
        """
        names = [*inspect.signature(cls.__init__).parameters][3:]  # all but self, the model and the tokenizer
        arguments = {name: options.pop(name) for name in names if name in options}
        options["progress"] = arguments.get("progress", True)
        model, tokenizer = from_pretrained(name_or_path, task, device, dtype, revision, **options)
        return cls(model, tokenizer, **arguments)

    @overload  # a string is a sequence of strings, too: the first match counts
    def __call__(  # type: ignore[overload-overlap]
        self, texts: str | tuple[str, ...], **options: Unpack[CallOptions]
    ) -> SaliencyMap: ...
    @overload
    def __call__(
        self, texts: Sequence[str | tuple[str, ...]], **options: Unpack[CallOptions]
    ) -> SaliencyMaps: ...
    @overload
    def __call__(self, texts: list[dict[str, str]], **options: Unpack[CallOptions]) -> SaliencyMap: ...
    @overload
    def __call__(self, texts: Sequence[Any], **options: Unpack[CallOptions]) -> Any: ...
    @call_checked("explainer")
    def __call__(
        self,
        texts: Any,
        *,
        target: Target | str | None = None,
        method: Any = None,
        top_k: int = 3,
        overflow: Overflow = "error",
    ) -> Any:
        """Explain a text, or several at once.

        Parameters
        ----------
        texts
            A string; a tuple of strings that belong together, such as ``(premise, hypothesis)`` or ``(prompt,
            continuation)``; a conversation, a list of ``{"role": ..., "content": ...}``, which may be such a prompt; or
            a sequence of these. ``(text, ids)``, or what the tokenizer returns for a text, may replace a string: the
            model then reads these token ids.
        target
            The target to explain, or a word of the text, short for the default target at this word. By default
            each position of a masked language model, masked in turn; each next token of a causal one, in a conversation
            those of the assistant's last message; the label that a classifier predicts, for the text or for each token;
            the output of an encoder-decoder; the similarity of two texts for a model that embeds texts.
        method
            The method, such as ``hs.gradient_norm()`` (the default), a Captum class, or a function from the
            score to a Captum attribution.
        top_k
            Number of the model's predictions to keep for each target.
        overflow
            Treatment of a text beyond the model's limit: ``"error"`` refuses it, ``"truncate"`` explains its beginning,
            ``"windows"`` explains each target within as many tokens around it as the model reads (others score zero).

        Returns
        -------
        SaliencyMap or SaliencyMaps
            One map for a string, a tuple or a conversation; a list of them, :class:`SaliencyMaps`, for a sequence.

        Raises
        ------
        SaliencyError
            If a text, the target or the method does not fit the model; nothing has been computed then.
        """
        single = is_one(texts)
        with HeldInterrupts():
            request = self.request(target, method, top_k, overflow)
            jobs = [request.job(texts)] if single else request.jobs(listed(texts))
            check_contrast(jobs)
            maps = request.maps(jobs, progress=self.progress)
        return maps[0] if single else SaliencyMaps(maps)

    @call_checked("explainer.stream")
    def stream(
        self,
        texts: Iterable[Any],
        *,
        target: Target | str | None = None,
        method: Any = None,
        top_k: int = 3,
        overflow: Overflow = "error",
        keyed: bool = False,
        window: int = 1024,
        on_error: OnError = "raise",
    ) -> Iterator[Any]:
        """Explain texts one after the other as they come, in bounded memory: a corpus, a file, a column of a table.

        The maps equal those of single calls and come in the order of the texts. A window of texts is read ahead, so
        that similar lengths share a batch; the first map comes after the first window. Leave the loop to stop early.

        Parameters
        ----------
        texts
            Any iterable of texts as a call takes them: a generator, an open file (a text a line), a column of a table.
        target
            As in a call.
        method
            As in a call.
        top_k
            As in a call.
        overflow
            As in a call.
        keyed
            Whether each element is a pair ``(key, text)``. The iterator then yields pairs ``(key, map)``. Without it a
            tuple is a text of several parts, as in a call.
        window
            Largest number of texts to read ahead; fewer are read if they are long.
        on_error
            Treatment of a text that cannot be explained: ``"raise"`` raises its error when its turn comes, after the
            maps before it; ``"skip"`` leaves it out; ``"collect"`` yields a :class:`Failure` instead of its map.

        Returns
        -------
        Iterator
            An iterator of maps, or of pairs of a key and a map if ``keyed``.

        Raises
        ------
        SaliencyError
            At once if an argument does not fit; for a text, as ``on_error`` determines.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> explainer = hs.Explainer(*hs.load_demo())
        >>> pairs = (("a", "She drank hot tea."), ("b", "He wrote a letter."))
        >>> for key, heat in explainer.stream(pairs, keyed=True):
        ...     print(key, heat.scores.shape)
        a (7, 9)
        b (5, 7)
        """
        check_source(texts)
        one_of(on_error, ON_ERROR, "on_error")
        request = self.request(target, method, top_k, overflow)
        window = whole(window, "window")
        return stream(request, texts, keyed=keyed, window=window, on_error=on_error, progress=self.progress)

    def encode(
        self, text: Any, *, target: Target | str | None = None, overflow: Overflow = "error"
    ) -> Encoding:
        """Return a text as the model reads it: token ids and places, for :meth:`SaliencyMap.from_attributions`.

        Parameters
        ----------
        text
            A string, a tuple of texts that belong together, or a conversation.
        target
            The target to encode it for, by default the model's own: some targets read a tuple as one sequence, others
            as several. A string without a target is one sequence.
        overflow
            ``"error"`` or ``"truncate"``, for a text longer than the model's limit.

        Returns
        -------
        Encoding
        """
        if isinstance(text, str) and target is None:
            return self.text_model.encode(text, overflow)
        return encoded(text, self._target(target), self.text_model, overflow)

    @call_checked("explainer.captum")
    def captum(
        self, text: Any, *, target: Target | str | None = None, baseline: Any = None
    ) -> tuple[Score, dict[str, Any]]:
        """Return the explained score as a module, and the arguments of ``attribute``, for plain Captum.

        The targets are the rows of one batch. Captum may repeat them: more than ``batch_tokens`` tokens are
        evaluated in pieces, so that memory stays bounded.

        Parameters
        ----------
        text
            The text to explain: a string, a tuple of texts that belong together, or a conversation.
        target
            As in a call.
        baseline
            The replacement of an absent token, as in :func:`hf_saliency.integrated_gradients`; not every method of
            Captum takes one.

        Returns
        -------
        Score
            A ``torch.nn.Module`` from embeddings to one number per target. ``score.sites[0]`` is the layer to pass
            to Captum's layer methods.
        dict
            ``inputs`` and ``additional_forward_args``, and ``baselines`` if one is given. If several sequences enter
            the model, ``inputs`` is a tuple with one tensor for each, and ``score.sites`` has one site for each.

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
        encoding = encoded(text, chosen, model, "error")
        rows = chosen.rows(encoding, model)
        readout = chosen.readout(model, len(encoding.parts))
        with torch.inference_mode(False):
            score = Score.of(model, rows, readout, self.batch_tokens)
            score.products = self._origin.products
            batch = collate(model, rows, readout, score.names, trim=False)
            extra, _ = score.with_classes(batch.embeds, batch.tensors)
            embeds = tuple(stream.requires_grad_() for stream in batch.embeds)
            arguments: dict[str, Any] = {"inputs": embeds}
            if baseline is not None:
                encode_like = functools.partial(chosen.encode_like, model=model)
                baselines = Baseline.of(baseline, model)
                arguments["baselines"] = baselines.embeds(model, batch, kept(model, batch), encode_like)
        if len(embeds) == 1:
            arguments = {key: value[0] for key, value in arguments.items()}
        return score, {**arguments, "additional_forward_args": extra}

    def score_masked(
        self,
        text: Any,
        target: Target | str | None = None,
        keep: Any = None,
        *,
        baseline: Any = None,
        overflow: Overflow = "error",
    ) -> Float[np.ndarray, "*targets variants"]:
        """Return the target's scores for variants of a text with some tokens masked, for measures of faithfulness.

        A masked token keeps its place: only its embedding is replaced by the baseline's, as in
        :func:`hf_saliency.leave_one_out`. Special tokens and the masks of the text or the target always stay. If the
        target is the most probable class, all variants score the most probable class of the whole text.

        Parameters
        ----------
        text
            The text to explain: a string, a tuple of texts that belong together, or a conversation.
        target
            As in a call.
        keep
            A boolean array (NumPy, PyTorch or nested lists), True where a token stays, special ones included:
            (variants, tokens) or (targets, variants, tokens). None scores the unchanged text.
        baseline
            The replacement of a masked token, as in :func:`hf_saliency.integrated_gradients`: by default the embedding
            of the mask token, or the mean embedding for a model without one.
        overflow
            As in a call; with ``"windows"`` each target is scored within its own window.

        Returns
        -------
        Float[np.ndarray, "*targets variants"]
            The scores in the target's unit, float64 for a float64 model and float32 otherwise: (targets, variants), or
            (variants,) if the target has one row and ``keep`` has two dimensions.

        Raises
        ------
        SaliencyError
            If the text, the target, the baseline or the shape of ``keep`` does not fit.

        Examples
        --------
        >>> import numpy as np
        >>> import hf_saliency as hs
        >>> explainer = hs.Explainer(*hs.load_demo())
        >>> text, target = "the formal study of grammar", hs.MaskedToken("grammar", unit="log_prob")
        >>> tokens = explainer.encode(text).tokens
        >>> without_formal = [token.piece != "formal" for token in tokens]
        >>> whole, masked = explainer.score_masked(text, target, [[True] * len(tokens), without_formal])
        >>> bool(whole != masked)
        True
        """
        if keep is None and isinstance(target, (np.ndarray, torch.Tensor, list)):
            raise SaliencyError(
                f"target= is a {type(target).__name__}: the tokens that stay are given by name, "
                "explainer.score_masked(text, keep=array)."
            )
        scores = self.variants(text, target, baseline=baseline, overflow=overflow).scores(keep)
        return scores[0] if len(scores) == 1 and np.ndim(keep) < 3 else scores

    def variants(
        self,
        text: Any,
        target: Target | str | None = None,
        *,
        baseline: Any = None,
        overflow: Overflow = "error",
    ) -> Variants:
        """Return the rows of a target in one text, to be scored with many masks; see ``score_masked``."""
        chosen, model = self._target(target), self.text_model
        encoding = encoded(text, chosen, model, overflow)
        return Variants(model, chosen, encoding, baseline, self.batch_tokens, self._origin.products)

    def request(
        self,
        target: Target | str | None = None,
        method: Any = None,
        top_k: int = 3,
        overflow: Overflow = "error",
    ) -> Request:
        """Check a call's arguments, and return the request, with provenance, that calls, streams and corpora run."""
        one_of(overflow, OVERFLOWS, "overflow")
        origin = self._origin
        return Request(
            self.text_model,
            self._target(target),
            self._default_method if method is None else as_method(method),
            whole(top_k, "top_k", 0),
            overflow,
            self.batch_tokens,
            origin.provenance,
            origin.products,
            self.precision,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {summary(self.__dict__.get('text_model'))}>"

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            return attribute(self, "an Explainer", name, EXPLAINER)

    def _target(self, target: Target | str | None) -> Target:
        return self._default_target if target is None else as_target(target, self.text_model)

    @functools.cached_property
    def _default_target(self) -> Target:
        return default_target(self.text_model)

    @functools.cached_property
    def _default_method(self) -> Method:
        return as_method(None)

    @property
    def _origin(self) -> Origin:
        self._known = Origin.of(self.text_model, self.fast_products, self._known)
        return self._known

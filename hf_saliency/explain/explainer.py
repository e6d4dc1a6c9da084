"""Explainer: the one place where the adapter, the attribution and the result meet."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.exact_ids import with_ids
from hf_saliency.adapter.guards import HeldInterrupts
from hf_saliency.adapter.pretrained import from_pretrained
from hf_saliency.adapter.text_model import OVERFLOWS, Overflow, TextModel
from hf_saliency.adapter.weights import fingerprint
from hf_saliency.attribution.registry import METHODS, as_method
from hf_saliency.errors import SaliencyError, check_keywords, is_one, listed, one_of, whole
from hf_saliency.explain.masking import checked_keep, masked_scores
from hf_saliency.explain.precision import Precision, check_precision
from hf_saliency.explain.request import Request, check_contrast
from hf_saliency.explain.result import provenance
from hf_saliency.explain.run import score_of
from hf_saliency.explain.stream import ON_ERROR, OnError, check_source, stream
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.saliency_maps import SaliencyMaps
from hf_saliency.score.baselines import Baseline
from hf_saliency.score.batch import collate, kept
from hf_saliency.score.products import Products, switch
from hf_saliency.score.score import Score
from hf_saliency.synonyms import EXPLAINER, unknown
from hf_saliency.targets.default import default_target, example, target_at, target_with
from hf_saliency.targets.target import Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# Rows of a batch share each weight matrix that is read; past this many tokens more of them bring no more speed.
BATCH_TOKENS = {"cpu": 1024, "cuda": 32768}


def _calls_with(keywords: Mapping[str, Any], model: TextModel) -> dict[str, str]:
    """The calls that take keywords of methods and targets, which a call of the explainer does not take itself."""
    calls = {}
    for keyword, value in keywords.items():
        target = target_with(keyword, model)
        methods = [name for name, make in METHODS.items() if keyword in inspect.signature(make).parameters]
        if methods:
            first = "integrated_gradients" if "integrated_gradients" in methods else methods[0]
            calls[keyword] = f"method=hs.{first}({keyword}={value!r:.40})"
        elif target:
            calls[keyword] = f"target=hs.{target}({keyword}={value!r:.40})"
    return calls


P = ParamSpec("P")
R = TypeVar("R")


def _keywords_checked(function: Callable[P, R]) -> Callable[P, R]:
    """A method that names the nearest keyword where one does not exist."""
    parameters = inspect.signature(function).parameters
    names = frozenset(parameters)
    most = sum(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters.values())
    method: Callable[..., Any] = function

    @functools.wraps(function)
    def checked(*arguments: P.args, **keywords: P.kwargs) -> R:
        name = function.__qualname__.replace(".__init__", "").replace("Explainer.__call__", "explainer")
        if not names.issuperset(keywords):
            explainer: Any = arguments[0] if arguments else None
            further = _calls_with(keywords, explainer.text_model) if "method" in names else None
            check_keywords(method, keywords, name.replace("Explainer.", "explainer."), further)
        if len(arguments) > most:
            if name == "Explainer":
                raise SaliencyError(
                    f"Explainer takes {', '.join([*parameters][most:])} by name; the target and the method belong to "
                    "the call, explainer(text, target=..., method=...)."
                )
            raise SaliencyError(
                f"{name} takes {', '.join([*parameters][most:])} by name. Texts that belong together are a tuple, "
                "explainer((prompt, continuation)); several texts are a list, explainer([text, another])."
            )
        return function(*arguments, **keywords)

    return checked


class Explainer:
    """Explains the predictions of a Hugging Face text model: which tokens of the text does a score depend on?

    The model is used in eval mode and without weight gradients, and is left as it was, also after an error or
    Ctrl-C. Explainers of one model may be used from several threads, one of which runs the model at a time. Do not
    train or call the model in another thread meanwhile: it would run in eval mode, with frozen weights.

    Parameters
    ----------
    model
        A text model of transformers, or any module around one: masked, causal and encoder-decoder language
        models, classifiers of texts and tokens, and heads that you wrote; or a ``SentenceTransformer``.
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
    fast_products
        Whether float32 matrix products on a CPU go to oneDNN, which is up to twice as fast on some processors; scores
        differ by less than 1e-6 of the largest. None measures a few products once a process and takes what is
        faster, unless the environment variable ``HF_SALIENCY_FAST_PRODUCTS`` says 0 or 1. The provenance of a map
        says where it was on.
    precision
        ``"bfloat16"`` for matrix products in bfloat16 (autocast) in calls and streams, with weights and gradients in
        float32: for processors and GPUs that have such products. One row in 16 is repeated in float32; the map's
        provenance and its summary say how far these are apart, and a warning comes where the error exceeds a tenth of
        a row's largest score, or the rank correlation falls below 0.9. None for the model's own precision.
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

    @_keywords_checked
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

    @classmethod
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
            The folder of a model, which needs no network, or its name on the Hugging Face hub.
        task
            What to load it for, as ``transformers.pipeline`` calls it, such as ``"fill-mask"``; by default the head
            that its configuration names.
        device
            Where to put it; ``"auto"`` takes a GPU if there is one.
        dtype
            How the weights are loaded. Explanations in half precision are coarse.
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
        own = {name: options.pop(name) for name in names if name in options}
        quiet = not own.get("progress", True)
        model, tokenizer = from_pretrained(
            name_or_path, task, device, dtype, revision, quiet=quiet, **options
        )
        return cls(model, tokenizer, **own)

    @overload  # a string is a sequence of strings, too: the first that fits counts
    def __call__(  # type: ignore[overload-overlap]
        self,
        texts: str | tuple[str, ...],
        *,
        target: Target | str | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> SaliencyMap: ...
    @overload
    def __call__(
        self,
        texts: Sequence[str | tuple[str, ...]],
        *,
        target: Target | str | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> SaliencyMaps: ...
    @overload
    def __call__(
        self,
        texts: list[dict[str, str]],
        *,
        target: Target | str | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> SaliencyMap: ...
    @overload
    def __call__(
        self,
        texts: Sequence[Any],
        *,
        target: Target | str | None = ...,
        method: Any = ...,
        top_k: int = ...,
        overflow: Overflow = ...,
    ) -> Any: ...
    @_keywords_checked
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
            continuation)``; a conversation, which is a list of ``{"role": ..., "content": ...}`` and may be the
            prompt of such a tuple; or a sequence of any of these. ``(text, ids)``, or what the tokenizer returns for a
            text, may replace a string: the model then reads these token ids and no others.
        target
            What to explain; of a model that explains places of a text, a word of it in short for the target at this
            word. By default what the model is for: each position of a masked language model masked in
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
            jobs = []
            for number, text in enumerate([texts] if single else listed(texts)):
                try:
                    jobs.append(request.job(text))
                except SaliencyError as error:
                    if single:
                        raise
                    raise SaliencyError(f"texts[{number}]: {error}") from error
            check_contrast(jobs)
            maps = request.maps(jobs, progress=self.progress)
        return maps[0] if single else SaliencyMaps(maps)

    @_keywords_checked
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
        that texts of similar length share a batch; the first map comes when the first window is done. To stop early,
        leave the loop, or close the iterator.

        Parameters
        ----------
        texts
            Any iterable of texts as a call takes them: a list, a generator, an open text file (a text a line), a
            column of a ``datasets.Dataset`` or of a DataFrame.
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
            How many texts are read ahead, at most; less where the texts are long.
        on_error
            What happens with a text that cannot be explained (empty, too long, without the word that is explained):
            ``"raise"`` raises its error when its turn comes, after the maps of the texts before it; ``"skip"`` leaves
            it out; ``"collect"`` yields a :class:`Failure` in place of its map.

        Returns
        -------
        Iterator
            Of maps; of pairs of a key and a map where ``keyed``.

        Raises
        ------
        SaliencyError
            If an argument does not fit, at once; for a text as ``on_error`` says.

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
        return self._target(target).encode(
            with_ids(text, self.text_model.tokenizer), self.text_model, overflow
        )

    def captum(
        self, text: Any, *, target: Target | str | None = None, baseline: Any = None
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
        encoding = chosen.encode(with_ids(text, model.tokenizer), model, "error")
        rows = chosen.rows(encoding, model)
        readout = chosen.readout(model, len(encoding.parts))
        with torch.inference_mode(False):
            score = score_of(model, rows, readout, self.batch_tokens)
            score.products = self._products()
            batch = collate(model, rows, readout, score.names, trim=False)
            extra, _ = score.with_classes(batch.embeds, batch.tensors)
            embeds = tuple(stream.requires_grad_() for stream in batch.embeds)
            arguments: dict[str, Any] = {"inputs": embeds, "additional_forward_args": extra}
            if baseline is not None:
                encode_like = functools.partial(chosen.encode_like, model=model)
                baselines = Baseline.of(baseline, model)
                arguments["baselines"] = baselines.embeds(model, batch, kept(model, batch), encode_like)
        single = {key: value[0] for key, value in arguments.items() if key != "additional_forward_args"}
        return score, arguments if len(embeds) > 1 else {**arguments, **single}

    def score_masked(
        self,
        text: Any,
        target: Target | str | None = None,
        keep: Any = None,
        *,
        baseline: Any = None,
        overflow: Overflow = "error",
    ) -> Float[np.ndarray, "*targets variants"]:
        """The target's scores for variants of a text in which some tokens are masked: what faithfulness is made of.

        A masked token keeps its place: its embedding alone is replaced by the baseline's, as
        :func:`hf_saliency.leave_one_out` does it. Special tokens and the masks of the text or the target always stay.
        Where the target is the most probable class, the class is that of the whole text for all variants.

        Parameters
        ----------
        text
            What one explanation is of: a string, a tuple of texts that belong together, or a conversation.
        target
            As in a call.
        keep
            A boolean array (NumPy, PyTorch or nested lists) that is True where a token stays: (variants, tokens) with
            the tokens of :meth:`encode` and of a map, special ones included; or (targets, variants, tokens), with
            variants of its own for each target. None is the text as it is.
        baseline
            What replaces a masked token, as in :func:`hf_saliency.integrated_gradients`: by default the embedding of
            the mask token, or the mean embedding for a model without one.
        overflow
            As in a call; with ``"windows"`` each target is scored within its own window.

        Returns
        -------
        Float[np.ndarray, "*targets variants"]
            In the target's unit, float64 for a float64 model and float32 otherwise: (targets, variants), or
            (variants,) where the target has one row and ``keep`` has two dimensions.

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
        chosen, model = self._target(target), self.text_model
        encoding = chosen.encode(with_ids(text, model.tokenizer), model, overflow)
        rows = chosen.rows(encoding, model)
        stays = checked_keep(np.ones((1, len(encoding)), bool) if keep is None else keep, encoding, len(rows))
        with HeldInterrupts(), torch.inference_mode(False), self._products().entered():
            numbers = np.repeat(np.arange(len(rows)), stays.shape[1]).tolist()
            flat = stays.reshape(-1, len(encoding))
            values, _ = masked_scores(model, chosen, rows, numbers, flat, baseline, self.batch_tokens)
        scores = values.reshape(stays.shape[:2])
        return scores[0] if len(rows) == 1 and np.ndim(keep) < 3 else scores

    def request(
        self,
        target: Target | str | None = None,
        method: Any = None,
        top_k: int = 3,
        overflow: Overflow = "error",
    ) -> Request:
        """The arguments of a call, checked, and where its numbers come from: what calls, streams and corpora run.

        Parameters
        ----------
        target
            As in a call.
        method
            As in a call.
        top_k
            As in a call.
        overflow
            As in a call.

        Returns
        -------
        Request
            With the attributes ``target``, ``method`` and ``provenance``.

        Raises
        ------
        SaliencyError
            If an argument does not fit the model.
        """
        top_k = whole(top_k, "top_k", 0)
        one_of(overflow, OVERFLOWS, "overflow")
        chosen = self._target(target)
        products = self._products()
        origin = {**self._provenance, "weights": fingerprint(self.text_model.model)}
        if products:
            origin["products"] = "oneDNN"
        return Request(
            self.text_model,
            chosen,
            as_method(method),
            top_k,
            overflow,
            self.batch_tokens,
            origin,
            products,
            self.precision,
        )

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property that failed says why
                return object.__getattribute__(self, name)
            raise unknown("an Explainer", name, EXPLAINER, dir(type(self)))

    def _target(self, target: Target | str | None) -> Target:
        if target is None:
            return default_target(self.text_model)
        if isinstance(target, str):
            return target_at(target, self.text_model)
        if not isinstance(target, Target):
            raise SaliencyError(
                f"target={target!r}: give a target such as {example(self.text_model, target)}."
            )
        target.check(self.text_model)
        return target

    def _products(self) -> Products:
        return Products.of(self.text_model.model, self.fast_products)

    @functools.cached_property
    def _provenance(self) -> dict[str, str]:
        return provenance(self.text_model)

"""TextModel: a model and its tokenizer, with the facts that the adapter knows about them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from hf_saliency.adapter.causality import causality
from hf_saliency.adapter.display import Spelling
from hf_saliency.adapter.encoding import Encoding, encode
from hf_saliency.adapter.exact_ids import TextWithIds, encode_with_ids
from hf_saliency.adapter.families import family
from hf_saliency.adapter.guards import borrowed, locked
from hf_saliency.adapter.limits import token_limits
from hf_saliency.adapter.model_checks import check_differentiable, check_kinds, check_loaded, check_version
from hf_saliency.adapter.sentence_models import SentenceModel
from hf_saliency.adapter.streams import EncoderDecoder, Layout, OneSequence, check_ids, streams
from hf_saliency.adapter.weights import warn_of_vocabulary
from hf_saliency.adapter.wrappers import unwrapped
from hf_saliency.errors import SaliencyError, called, described, one_of, warn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_log = logging.getLogger(__name__)

_MADE = {"input_ids", "attention_mask"}


def further_inputs(model: nn.Module, tokenizer: Any, inputs: Any) -> dict[str, Any]:
    """Return the arguments of a model's forward function that do not follow from the text, from a user's ``inputs``.

    Refuse an argument that the model does not take, and a model that needs further ones. An error in a user's function
    names that function.
    """
    if inputs is not None and not isinstance(inputs, Mapping):
        raise SaliencyError(f"inputs={inputs!r}: give what the model needs by name, {{'position_ids': ...}}.")
    further: dict[str, Any] = dict(inputs or {})
    parameters = inspect.signature(model.forward).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [parameter for parameter in parameters if parameter.kind not in variable]
    of_transformers = _of_transformers(model)
    names = {parameter.name for parameter in named} | (_passed_on() if of_transformers else set())
    takes_any = not of_transformers and any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters
    )
    for name in further:
        if name in _MADE or not (name in names or takes_any):
            raise SaliencyError(
                f"inputs={{{name!r}: ...}}: {type(model).__name__}.forward takes {', '.join(sorted(names - _MADE))}, "
                "and the tokenizer gives the rest."
            )
    filled = {*_MADE, *(f"decoder_{name}" for name in _MADE), *getattr(tokenizer, "model_input_names", ())}
    needed = [parameter.name for parameter in named if parameter.default is parameter.empty]
    missing = [name for name in needed if name not in {*filled, *further}]
    if missing:
        example = ", ".join(f"{name!r}: ..." for name in missing)
        raise SaliencyError(
            f"{type(model).__name__}.forward needs {', '.join(missing)} in addition to the tokenizer's "
            f"outputs: Explainer(model, tokenizer, inputs={{{example}}}), each a tensor of one row or a function of "
            "the other inputs."
        )
    # A cache of keys and values is useless in a single pass.
    cache = {"use_cache": False} if "use_cache" in names else {}
    values = {name: _computed(name, value) if callable(value) else value for name, value in further.items()}
    return {**cache, **values}


def batch_inputs(constants: Mapping[str, Any], inputs: Mapping[str, Tensor], count: int) -> dict[str, Any]:
    """Return the further inputs of a batch of ``count`` rows: repeat a tensor of one row, call a function."""
    values = {}
    for name, value in constants.items():
        tensor = value(inputs) if callable(value) else value
        repeated = isinstance(tensor, Tensor) and tensor.dim() and len(tensor) == 1 != count
        values[name] = tensor.expand(count, *tensor.shape[1:]) if repeated else tensor
    return values


def _of_transformers(model: nn.Module) -> bool:
    """Whether the forward function is from transformers, where ``**kwargs`` swallow unknown arguments."""
    return str(getattr(type(model).forward, "__module__", "")).startswith("transformers.")


def _passed_on() -> set[str]:
    """Return the arguments that models of transformers take in addition to their named parameters."""
    from transformers.utils.generic import TransformersKwargs

    return {"return_dict", *TransformersKwargs.__annotations__}


def _computed(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    advice = "It is called with the model's other inputs by name, and returns the value."
    whose = f"the function of inputs={{{name!r}: ...}}"

    def value(rows: Any) -> Any:
        result = called(function, whose, advice, rows)
        if result is None:
            raise SaliencyError(f"{whose} returned None. {advice}")
        return result

    return value


Overflow = Literal["error", "truncate", "windows"]
OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)

_TRUNCATE = "Pass overflow='truncate' to explain its beginning"
# Parts of a model's error messages, each with the remedy.
_REMEDIES = {
    "not a valid attention implementation": "Call model.set_attn_implementation('sdpa').",
    "exactly three separator tokens": "Load the tokenizer that belongs to this model, which puts two of them between "
    "question and context and one at the end; or say where attention is global, Explainer(model, tokenizer, "
    "inputs={'global_attention_mask': lambda inputs: ...}).",
}
_TRUSTED = {"torch", "transformers"}  # packages whose modules need no trial with padding


class TextModel:
    """A model with its tokenizer: where text enters, how long it may be, and the names of its classes.

    Wrappers of a compiler or of PEFT are removed. Arguments are those of :class:`hf_saliency.Explainer`.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase | None,
        embedding: nn.Module | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        check_version()
        if type(model).__module__.startswith("transformers.pipelines."):
            pipeline: Any = model
            model, tokenizer = pipeline.model, tokenizer or pipeline.tokenizer
        model = unwrapped(model)
        self.sentences = SentenceModel.of(model)
        if tokenizer is None and self.sentences is not None:
            tokenizer = self.sentences.layers.tokenizer
        check_kinds(model, tokenizer)
        assert tokenizer is not None
        self.model: nn.Module = model
        self.tokenizer: PreTrainedTokenizerBase = tokenizer
        check_differentiable(model)
        self.family = family(model)
        if embedding is None and self.family.embedding is not None:
            embedding = self.family.embedding(model)
        self.streams = streams(
            model, embedding, extra_lookups=self.family.extra_lookups, rotates=self.family.rotates
        )
        check_loaded(model, self.streams)
        warn_of_vocabulary(model, self.streams[0].rows, tokenizer)
        reads = model if self.sentences is None else self.sentences.transformer
        parameters = inspect.signature(reads.forward).parameters
        self.known = frozenset(parameters)
        self.takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        if "input_ids" not in self.known and not self.takes_any:
            raise SaliencyError(
                f"{type(model).__name__}.forward takes {', '.join(parameters) or 'nothing'}, and no input_ids: give a "
                "module whose forward function takes the token ids by that name, as models of transformers do."
            )
        self.inputs: dict[str, Any] = further_inputs(reads, tokenizer, inputs)
        self.pads = self._pads()
        self.padding_trials: dict[Hashable, Any] = {}  # results of score.padding, if pads is None
        self.batch_trials: set[Hashable] = set()  # readouts whose rows were tested in one batch
        self.layer_trials: dict[Hashable, tuple[object, bool]] = {}  # results of score.last_layer
        if self.sentences is not None:
            self.inputs = {**self.sentences.constants, **self.inputs}
        self.limits = token_limits(model, self.streams, tokenizer)
        self._trims: bool | None = None
        self._config: tuple[Any, Any] | None = None
        _log.debug(
            "%s reads %s tokens through %s",
            type(model).__name__,
            f"up to {self.max_tokens}" if self.max_tokens else "any number of",
            ", ".join(f"{type(stream.module).__name__} of {stream.rows} rows" for stream in self.streams),
        )
        caution = self.family.caution(model) if self.family.caution else None
        if caution:
            warn(caution, UserWarning)

    def __str__(self) -> str:
        """Describe the model in a line: its class, its tokenizer's class, and its embeddings' device and dtype."""
        names = [type(self.model).__name__, type(self.tokenizer).__name__]
        with contextlib.suppress(Exception):  # printing never fails, even if weights were deleted
            weight = next(self.streams[0].module.parameters())
            names += [str(self.streams[0].device), str(weight.dtype).removeprefix("torch.")]
        return ", ".join(names)

    @property
    def max_tokens(self) -> int | None:
        """The most tokens of a text that the model reads; for an encoder-decoder, of its source."""
        return self.limits[0]

    def _pads(self) -> bool | None:
        """Whether padding leaves a row's result unchanged; None if only a trial can tell."""
        # Without a mask, the model would read padding as text.
        if self.family.pads is False or "attention_mask" not in self.known:
            return False
        if self.sentences is not None and not self.sentences.pads:
            return False
        reads = self.model if self.sentences is None else self.sentences.transformer
        tried = any(type(module).__module__.partition(".")[0] not in _TRUSTED for module in reads.modules())
        return self.family.pads or (None if tried else True)

    @property
    def config(self) -> Any:
        """The model's configuration, or that of its text part if it has several; None for a plain module."""
        config: Any = getattr(self.model, "config", None)
        if self._config is None or self._config[0] is not config:  # looking for the text part is slow
            text = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
            self._config = (config, text)
        return self._config[1]

    @property
    def encoder_decoder(self) -> bool:
        """Whether a source and a target enter the model."""
        return len(self.streams) > 1

    def encode(
        self,
        text: str,
        overflow: Overflow = "error",
        *,
        pair: str | None = None,
        special: bool = True,
        as_target: bool = False,
        whole: bool = False,
    ) -> Encoding:
        """Encode a text, or two, as this model's tokens; see :func:`hf_saliency.adapter.encoding.encode`.

        If ``whole`` or for a pair, windows are refused, since the target needs all tokens.
        """
        one_of(overflow, OVERFLOWS, "overflow")
        source, text = text, text if self.sentences is None else self.sentences.prompted(text)
        with locked(self.tokenizer):  # fast tokenizers refuse two threads at once
            if isinstance(source, TextWithIds) or isinstance(pair, TextWithIds):
                encoding = self._with_ids(source, pair, special)
            else:
                encoding = encode(self.tokenizer, text, pair, special=special, as_target=as_target)
            limit = self.limits[-1 if as_target else 0]
            fits = limit is None or len(encoding) <= limit
            if not fits and overflow == "truncate" and pair is not None:
                encoding = encode(self.tokenizer, text, pair, length=limit)
                fits = True
        check_ids(
            self.streams[-1 if as_target else 0], encoding.ids, [token.piece for token in encoding.tokens]
        )
        if not fits:
            whole = whole or pair is not None
            if overflow == "windows" and not whole:
                return encoding
            if overflow != "truncate":
                windows = ", or overflow='windows' to explain each target within the tokens around it"
                raise self.too_long(
                    len(encoding), f"{_TRUNCATE}{'' if whole else windows}.", as_target=as_target
                )
            assert limit is not None
            encoding = encoding.truncated(limit)
        if self.sentences is not None:
            self.sentences.check_ids(source, encoding.ids, self.tokenizer)
        return encoding

    def _with_ids(self, text: str, pair: str | None, special: bool) -> Encoding:
        """Encode a text that comes with ids."""
        if pair is not None or not isinstance(text, TextWithIds):
            raise SaliencyError("two texts that are read as one sequence take no ids: give both as strings.")
        if self.sentences is not None:
            raise SaliencyError(
                f"{type(self.model).__name__} makes the ids of a text itself, with its prompt: give the text alone."
            )
        pad = self.tokenizer.pad_token_id
        ends = {text.ids[0], text.ids[-1]} if special else set()  # a continuation may begin with one
        specials = ("bos", "eos", "cls", "sep", "unk")
        if pad in ends and pad not in [
            getattr(self.tokenizer, f"{name}_token_id", None) for name in specials
        ]:
            raise SaliencyError(
                f"the ids begin or end with padding ({self.tokenizer.pad_token!r}, id {pad}), which the model would "
                "read as text: remove it, explainer((text, ids[mask.bool()])), or give the tokenizer's encoding."
            )
        return encode_with_ids(self.tokenizer, text, special=special)

    def too_long(
        self, count: int, remedy: str = f"{_TRUNCATE}.", what: str = "text", *, as_target: bool = False
    ) -> SaliencyError:
        """Return the error for a text of ``count`` tokens."""
        return SaliencyError(
            f"the {what} has {count} tokens, special ones included, but the model reads at most "
            f"{self.limits[-1 if as_target else 0]}. {remedy}",
            page="how_to/long_texts#longer-than-the-model-reads",
        )

    def check_fits(
        self, count: int, remedy: str = f"{_TRUNCATE}.", what: str = "text", *, as_target: bool = False
    ) -> None:
        """Refuse more tokens than the model reads, for a target that depends on all of them."""
        limit = self.limits[-1 if as_target else 0]
        if limit is not None and count > limit:
            raise self.too_long(count, remedy, what, as_target=as_target)

    def room(self, count: int, taken: int = 0) -> int:
        """Return how many of ``count`` tokens the model can still write after ``taken`` tokens."""
        limit = self.limits[-1]
        return count if limit is None else min(count, limit - taken)

    @functools.cached_property
    def size(self) -> int:
        """The number of weights, tables of tokens excluded."""
        tables = {id(weight) for stream in self.streams for weight in stream.module.parameters()}
        return sum(weight.numel() for weight in self.model.parameters() if id(weight) not in tables)

    @property
    def layout(self) -> Layout:
        """The layout in which one text, or a source and a target, enter the model."""
        return EncoderDecoder() if self.encoder_decoder else OneSequence()

    @property
    def classes(self) -> int:
        """The number of token ids that the model knows."""
        return self.streams[-1].rows

    def mask_id(self) -> int:
        mask = self.tokenizer.mask_token_id
        if mask is None:
            raise SaliencyError(
                f"{type(self.tokenizer).__name__} has no mask token, which masking a position needs: set "
                "tokenizer.mask_token to the one that the model was trained with, or explain the text as it is "
                "with target=hs.UnmaskedToken().",
                page="tasks/masked#masked-language-models",
            )
        check_ids(self.streams[0], [mask], [self.tokenizer.mask_token])
        return int(mask)

    @property
    def pad_id(self) -> int:
        """The id that pads rows: the model's or tokenizer's pad token, or 0 if neither has a valid one."""
        for known in (getattr(self.config, "pad_token_id", None), self.tokenizer.pad_token_id):
            if isinstance(known, int) and 0 <= known < self.classes:
                return known
        return 0

    def class_name(self, index: int, *, exact: bool = False) -> str:
        """Return the display name of a token id; ``exact`` keeps spaces, so that two ids never look alike."""
        return Spelling.of(self.tokenizer).name(index, exact=exact)

    def ends(self, encoding: Encoding) -> int:
        """Count end tokens: encoder-decoders read labels at the last, and rows of a batch need the same number."""
        ends = getattr(self.config, "eos_token_id", None) if self.encoder_decoder else None
        known = ends if isinstance(ends, list) else [ends]
        return sum(token_id in known for token_id in encoding.ids)

    def names(self, inputs: Iterable[str], part: int = 0, layout: Layout | None = None) -> tuple[str, ...]:
        """Return the tokenizer's inputs that this model takes for a sequence, in the order of a row's tensors."""
        layout = layout or OneSequence()
        known = [name for name in ("input_ids", "attention_mask", *inputs) if name not in self.inputs]
        named = [layout.name(part, name) for name in known]
        return tuple(
            n for n in named if n.partition(".")[0] in self.known or self._passes(n.partition(".")[0])
        )

    def _passes(self, name: str) -> bool:
        return self.takes_any and name.removeprefix("decoder_") in _MADE

    def pad(self, rows: Sequence[Mapping[str, Sequence[int]]], length: int = 0) -> dict[str, Tensor]:
        """Pad rows of unequal length on the right, to the longest or to ``length``, as (batch, tokens) tensors."""
        length = max(length, *(len(next(iter(row.values()))) for row in rows))
        tensors = {}
        for name in rows[0]:
            fill = self.pad_id if "input_ids" in name else 0
            padded = [[*row[name], *[fill] * (length - len(row[name]))] for row in rows]
            tensors[name] = torch.tensor(padded, device=self.streams[0].device)
        return tensors

    def arguments(self, encoding: Encoding, layout: Layout) -> dict[str, Any]:
        """Return the model's keyword arguments for one text, constants included."""
        tensors: dict[str, Any] = {}
        for part, columns in enumerate(encoding.parts):
            sequence = encoding.columns(columns)
            values = {"input_ids": sequence.ids, "attention_mask": (1,) * len(sequence), **sequence.inputs}
            for base, value in values.items():
                name = layout.name(part, base)
                if name in self.names(sequence.inputs, part, layout):
                    tensors[name] = torch.tensor([value], device=self.streams[0].device)
        return {**tensors, **batch_inputs(self.inputs, tensors, 1)}

    def run(self, encoding: Encoding, layout: Layout | None = None) -> Any:
        """Return the model's output for one text, without gradients."""
        with torch.inference_mode(False), torch.no_grad(), borrowed(self.model):
            return self._called(self.call, self.arguments(encoding, layout or OneSequence()))

    def call(self, inputs: Mapping[str, Any]) -> Any:
        """Return the model's output for its keyword arguments."""
        return self.model(**inputs) if self.sentences is None else self.sentences.call(inputs)

    def _called(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that runs the model; turn the model's own errors into a SaliencyError that names it."""
        try:
            return function(*arguments)
        except (AssertionError, ImportError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, SaliencyError):
                raise
            raise self.failure(error, ", and that the model reads this text without the Explainer") from error

    def failure(self, error: Exception, further: str = "") -> SaliencyError:
        """Return a SaliencyError for one of the model's own errors; ``further`` names other things to check."""
        remedy = next((words for part, words in _REMEDIES.items() if part in str(error)), "")
        if isinstance(error, ImportError):  # flash attention's kernels come in a separate package
            remedy = "Install what it names, or call model.set_attn_implementation('sdpa')."
        check = remedy or f"Check that the target fits this model{further}."
        return SaliencyError(f"{type(self.model).__name__}.forward raised {described(error)} {check}")

    def trims(self, encoding: Encoding, layout: Layout) -> bool:
        """Test on the text whether the logits at a token are the same without the tokens after it.

        A transformers class is tested once, a user's module with each text, since it may read each text differently.
        Warn of a model that has seen the tokens that it predicts.
        """
        of_user = not type(self.model).__module__.startswith("transformers.")
        if self._trims is None or of_user:
            part = len(encoding.parts) - 1
            names = self.names(encoding.columns(encoding.parts[part]).inputs, part, layout)
            with torch.inference_mode(False):
                trial = self._called(causality, self.model, self.arguments(encoding, layout), names)
            if trial is None:
                return False
            self._trims = trial.trims
            if not trial.ignores_later:
                warn(
                    f"{type(self.model).__name__} does not read only from left to right: its prediction of a token "
                    "depends on that token and on later ones. To explain predictions, load the model with "
                    "is_decoder=True, or load a model that is made to continue texts.",
                    UserWarning,
                )
        return self._trims

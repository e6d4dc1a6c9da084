"""The one exception that this package raises for input that it cannot work with."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import math
import operator
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any, Literal, ParamSpec, TypeVar, get_args

from hf_saliency.synonyms import ARGUMENTS, CALLS

Option = TypeVar("Option")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

Scale = Literal["logit", "log_prob", "prob"]
"""What a target may be asked for: a logit, a log-probability in nats, a probability."""

SCALES: tuple[Scale, ...] = get_args(Scale)

Unit = Literal["logit", "log_prob", "prob", "value"]
"""What a score is measured in: one of these, or the measure of an output that is not a logit (a regression's)."""

UNITS: tuple[Unit, ...] = get_args(Unit)

FeatureName = Literal["token", "word", "sentence"]

FEATURES: tuple[FeatureName, ...] = get_args(FeatureName)

Feature = FeatureName | Sequence[tuple[int, ...]] | Callable[[Any], Sequence[tuple[int, ...]]]
"""What a method removes at a time: a unit by its name; spans of characters, (start, end) or (text_index, start, end);
or a function from the encoding to such spans."""

Reduction = Literal["sum", "mean", "norm", "norm_1", "max", "absmax"]
"""How several numbers become one: the width of an embedding, the tokens of a word.

``"norm"`` is the 2-norm, ``"norm_1"`` the sum of magnitudes, ``"max"`` the number of largest magnitude with its sign,
``"absmax"`` that magnitude.
"""

REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)

UNSIGNED_REDUCTIONS: tuple[Reduction, ...] = ("norm", "norm_1", "absmax")


_PART = 4  # letters of a name that stands within another
_WIDTH = 60  # letters of a value in an error


class SaliencyError(ValueError):
    """The input cannot be explained or drawn; the message says what would work.

    Parameters
    ----------
    message
        What was given, what is accepted, the call that works.
    page
        A page of the documentation that explains more, with its anchor, such as
        ``"how_to/long_texts#longer-than-the-model-reads"``; the message ends with its address.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.MaskedToken(unit="percent")
    Traceback (most recent call last):
        ...
    hf_saliency.errors.SaliencyError: unit='percent': choose one of 'logit', 'log_prob', 'prob'.
    """

    def __init__(self, message: str = "", *, page: str | None = None) -> None:
        super().__init__(message if page is None else f"{message} {_pointer(page)}")


def _pointer(page: str) -> str:
    """Where a page of the documentation is: on the site that the distribution names, or in the repository."""
    name, _, anchor = page.partition("#")
    with contextlib.suppress(metadata.PackageNotFoundError):
        for line in metadata.metadata("hf-saliency").get_all("Project-URL") or []:
            label, _, address = line.partition(", ")
            if label == "Documentation":
                return f"See {address.rstrip('/')}/{name}.html#{anchor}"
    return f"See docs/{name}.md#{anchor}"


def called(function: Callable[..., Any], whose: str, advice: str, *arguments: Any) -> Any:
    """What a user's function returns; an error in it becomes the cause of one that says ``whose`` it was.

    A lack of memory, which a smaller batch may mend, passes as it is.
    """
    try:
        return function(*arguments)
    except Exception as error:
        if isinstance(error, SaliencyError) or out_of_memory(error):
            raise
        raise SaliencyError(f"{whose} raised {described(error)} {advice}") from error


def imported(module: str, need: str, extra: str) -> Any:
    """A module of an optional package; where it is missing, the error names the extra that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SaliencyError(
            f"{need}, which cannot be imported ({error}): pip install 'hf-saliency[{extra}]'."
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short: only CUDA's has a class of its own."""
    message = str(error).lower()
    short = any(part in message for part in ("out of memory", "can't allocate memory", "not enough memory"))
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and short)


def described(error: Exception) -> str:
    """An error's class and the beginning of what it says, as a sentence."""
    message = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {message.rstrip('.')}." if message else f"{type(error).__name__}."


def integer(value: object) -> int | None:
    """A whole number of Python, NumPy or PyTorch; None for anything else, a truth value included."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def one_of(value: object, options: Iterable[Option], name: str) -> Option:
    """The option that equals a value; ``name`` is the argument as the caller wrote it.

    A string of NumPy comes back as a plain one, which JSON and ``type(...) is str`` know.
    """
    choices = tuple(options)
    for choice in choices:
        same_type = type(value) is type(choice) or (isinstance(value, str) and isinstance(choice, str))
        if same_type and value == choice:
            return choice
    listing = ", ".join(map(repr, choices))
    raise SaliencyError(f"{name}={shown(value)}: choose one of {listing}{_nearest(value, choices)}.")


def check_reduction(value: object, name: str = "reduction") -> Reduction:
    """A reduction by its name; the sum's former name is refused with its present one."""
    if value == "total":
        raise SaliencyError(f"{name}='total': the sum is called 'sum', so write {name}='sum'.")
    return one_of(value, REDUCTIONS, name)


def plain(value: Any) -> Any:
    """The value, with NumPy's strings and whole numbers, also those within lists and tuples, as Python's own."""
    if type(value).__module__.partition(".")[0] == "numpy" and not hasattr(value, "__len__"):
        number = integer(value)
        return value if number is None else number
    if isinstance(value, str) and type(value).__module__.startswith("numpy"):
        return str.__str__(value)
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def shown(value: object) -> str:
    """A value as an error shows it: of a model or a map, which are long, the beginning in one line."""
    if isinstance(value, str):
        return repr(plain(value))
    text = " ".join(repr(plain(value)).split())
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


def _nearest(value: object, options: Iterable[object]) -> str:
    """A question that names the option nearest to a value; empty where none is near."""
    if len(str(value)) > _WIDTH:
        return ""
    known = [str(option) for option in options]
    near = difflib.get_close_matches(str(value), known, n=1)
    if not near:
        # "probability" is nearer to "prob", and "steps" to "n_steps", for a reader than for an edit distance.
        parts = [option for option in known if min(len(option), len(str(value))) >= _PART]
        near = [option for option in parts if str(value) in option or option in str(value)]
    return f" (did you mean {max(near, key=len)!r}?)" if near else ""


def whole(value: object, name: str, least: int = 1) -> int:
    """The value as an ``int``: a whole number of Python, NumPy or PyTorch that is at least ``least``."""
    number = integer(value)
    if number is None or number < least:
        raise SaliencyError(
            f"{name}={shown(value)}: give a whole number of at least {least}, such as {name}={least}."
        )
    return number


def real(value: object, name: str, example: str, *, zero: bool = False, below: float = math.inf) -> float:
    """The value as a ``float``: a finite number of Python, NumPy or PyTorch above 0, or from 0 on, below another."""
    number = math.nan
    if not isinstance(value, (bool, str, bytes)) and "bool" not in str(getattr(value, "dtype", "")):
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            number = float(value)  # type: ignore[arg-type]
    if not (number >= 0 if zero else number > 0) or not number < below:
        least = "a number from 0 on" if zero else "a positive number"
        most = "" if below == math.inf else f" below {below:g}"
        raise SaliencyError(f"{name}={shown(value)}: give {least}{most}, such as {name}={example}.")
    return number


def character_spans(value: object, name: str) -> tuple[tuple[int, int, int], ...]:
    """Spans of characters as (text_index, start, end); a pair is of the first text."""
    spans: list[tuple[int, int, int]] = []
    entries = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else ()
    for span in entries:
        numbers = [integer(number) for number in span] if isinstance(span, (tuple, list)) else []
        text, start, end = [0, *numbers][-3:] if len(numbers) in (2, 3) else (None, None, None)
        if text is None or start is None or end is None or not (text >= 0 and 0 <= start < end):
            spans = []
            break
        spans.append((text, start, end))
    if not spans:
        raise SaliencyError(
            f"{name}={shown(value)}: give 'token', 'word' or 'sentence', a list of spans of characters (start, end) or "
            "(text_index, start, end) such as [(0, 12), (12, 30)], or a function from the encoding to such a list."
        )
    return tuple(spans)


def check_call(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    name: str,
    synonyms: Mapping[str, str] | None = None,
) -> None:
    """Refuse a call that does not fit the function; the error names the call to use, or the nearest keyword.

    ``arguments`` are those by place, ``self`` included; ``synonyms`` are keywords with the calls that take them.
    """
    signature = _signature(function)
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        bound = [*signature.parameters][:1] in (["self"], ["cls"]) and "." in function.__qualname__
        known = [*signature.parameters.values()][bound:]
        raise SaliencyError(_misfit(known, arguments[bound:], keywords, name, synonyms or {})) from None


_signature = functools.cache(inspect.signature)  # a target is made for each text of a corpus


def _misfit(
    known: Sequence[inspect.Parameter],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    name: str,
    synonyms: Mapping[str, str],
) -> str:
    """Why a call does not fit, and the call that does."""
    takes = [each.name for each in known if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    for keyword in keywords:
        if keyword not in takes and not any(each.kind is each.VAR_KEYWORD for each in known):
            call = ARGUMENTS.get(name, {}).get(keyword) or synonyms.get(keyword)
            near = f" (use {call})" if call else _nearest(keyword, takes)
            return f"{name} takes no argument {keyword!r}{near}: it takes {', '.join(takes) or 'none'}."
    places = [each.name for each in known if each.kind is each.POSITIONAL_OR_KEYWORD]
    named = [each.name for each in known if each.kind is each.KEYWORD_ONLY]
    call = CALLS.get(name) or _call(name, known, further=len(arguments) > len(places))
    if len(arguments) > len(places):
        if len(takes) < len(known):
            return f"{name} takes all but {', '.join(places)} by name: {call}."
        if named:
            return f"{name} takes {', '.join(named)} by name: {call}."
        return f"{name} takes {'only ' if places else 'no arguments'}{', '.join(places)}: {call}."
    for place in places[: len(arguments)]:
        if place in keywords:
            return f"{name} is given {place} twice, by place and by name: {call}."
    missing = [each.name for each in known if each.default is each.empty and each.name in takes]
    missing = [each for each in missing if each not in keywords and each not in places[: len(arguments)]]
    return f"{name} needs {', '.join(missing)}: {call}."


def _call(name: str, parameters: Sequence[inspect.Parameter], further: bool) -> str:
    """A call with what a function needs, and where ``further`` with what it takes by name first."""
    takes = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    needed = [each for each in takes if each.default is each.empty]
    named = [each for each in takes if each.kind is each.KEYWORD_ONLY and each not in needed]
    if further:
        needed += named[:1]
    words = [
        f"{each.name}=..." if each.kind is each.KEYWORD_ONLY else each.name for each in needed or takes[:1]
    ]
    return f"hs.{name}({', '.join(words)})"


def checks_call(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function that refuses a call that does not fit it with the call that does."""

    @functools.wraps(function)
    def checked(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        check_call(function, arguments, keywords, function.__qualname__)
        return function(*arguments, **keywords)

    return checked


class ChecksCall:
    """Its classes refuse a call that does not fit them with the call that does."""

    def __new__(cls: type[Result], *arguments: Any, **keywords: Any) -> Result:
        if arguments or keywords:  # copies are made without any
            check_call(cls.__init__, (None, *arguments), keywords, cls.__name__)
        return object.__new__(cls)


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the line of the user's code, however deep in the package the warning arises."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


_LIBRARIES = ("hf_saliency", "captum", "torch", "matplotlib", "contextlib", "functools")


def is_one(texts: object) -> bool:
    """Whether a value is explained as one: a string, a tuple of texts that belong together, a conversation."""
    if has_ids(texts):
        return True
    if isinstance(texts, tuple):
        parts = texts[1:] if len(texts) > 1 and _is_conversation(texts[0]) else texts
        return bool(parts) and all(isinstance(part, str) or has_ids(part) for part in parts)
    return isinstance(texts, str) or _is_conversation(texts)


def has_ids(text: Any) -> bool:
    """Whether a text comes with its token ids: a tokenizer's ``BatchEncoding``, or a tuple of a string and ids."""
    if isinstance(text, tuple):
        ids = text[1] if len(text) == 2 and isinstance(text[0], str) else None
        numbers = isinstance(ids, list) and not any(isinstance(each, (str, dict, tuple)) for each in ids)
        return numbers or hasattr(ids, "dtype")
    return type(text).__name__ == "BatchEncoding"


def id_list(value: Any) -> tuple[int, ...] | None:
    """One row of token ids, in a list, an array or a tensor; None for anything else."""
    rows = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(rows, (list, tuple)) and len(rows) == 1 and isinstance(rows[0], (list, tuple)):
        rows = rows[0]
    ids = [integer(each) for each in rows] if isinstance(rows, (list, tuple)) else []
    known = tuple(each for each in ids if each is not None and each >= 0)
    return known if known and len(known) == len(ids) else None


def listed(texts: Any) -> list[Any]:
    """The texts of a sequence; refuses anything else, such as a mapping, whose elements are keys."""
    keyed = isinstance(texts, (Mapping, set, frozenset, bytes)) or getattr(texts, "ndim", 1) != 1
    if not keyed and isinstance(texts, Iterable) and id_list(texts) is None:
        return list(texts)
    raise no_text(texts)


def no_text(value: Any) -> SaliencyError:
    """The error of a value in place of a text, with the call that takes such values."""
    hint = ""
    first = value[0] if isinstance(value, list) and value else value
    if id_list(value) is not None or (isinstance(first, Mapping) and "input_ids" in first):
        hint = (
            "; token ids come with their text, explainer((text, ids)), or as the tokenizer's own encoding, "
            "explainer(tokenizer(text))"
        )
    elif isinstance(value, Mapping):
        hint = " or explainer(row['text']); a conversation is a list of messages, explainer([message])"
    elif isinstance(value, (set, frozenset)):
        hint = "; several are a list, explainer([text, text])"
    return SaliencyError(
        f"a text must be a string, not {type(value).__name__}: explainer('Some text.'){hint}."
    )


def _is_conversation(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(message, dict) for message in value)


def renew_property_locks() -> None:
    """In a forked child: Python 3.11 has a lock in each cached property, which a thread that is gone may hold."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("hf_saliency.")]
    for cls in {value for module in modules for value in vars(module).values() if isinstance(value, type)}:
        for each in list(vars(cls).values()):
            if isinstance(each, functools.cached_property) and hasattr(each, "lock"):
                each.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_property_locks)

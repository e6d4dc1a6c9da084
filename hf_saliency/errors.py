"""Errors: the exception for input that the package cannot use, and the checks that raise it."""

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
"""The scales of a target's score: a logit, a log-probability in nats, a probability."""

SCALES: tuple[Scale, ...] = get_args(Scale)

Unit = Literal["logit", "log_prob", "prob", "value"]
"""The units of a score: the scales, and ``"value"`` for an output that is not a logit, such as a regression's."""

UNITS: tuple[Unit, ...] = get_args(Unit)

FeatureName = Literal["token", "word", "sentence"]

FEATURES: tuple[FeatureName, ...] = get_args(FeatureName)

Feature = FeatureName | Sequence[tuple[int, ...]] | Callable[[Any], Sequence[tuple[int, ...]]]
"""The features that a method removes one at a time: the name of a unit; spans of characters, (start, end) or
(text_index, start, end); or a function from the encoding to such spans."""

Reduction = Literal["sum", "mean", "norm", "norm_1", "max", "absmax"]
"""Reductions of several numbers to one, over the width of an embedding or over the tokens of a word.

``"norm"`` is the 2-norm, ``"norm_1"`` the sum of magnitudes, ``"max"`` the number of largest magnitude with its sign,
and ``"absmax"`` the largest magnitude.
"""

REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)

UNSIGNED_REDUCTIONS: tuple[Reduction, ...] = ("norm", "norm_1", "absmax")


_PART = 4  # minimum length of a name that is searched for within another
_WIDTH = 60  # maximum length of a value in an error


class SaliencyError(ValueError):
    """Error for input that cannot be explained or drawn; the message says what would work.

    Parameters
    ----------
    message
        The value given, the values accepted, and a call that works.
    page
        A page of the documentation with more information, and its anchor, such as
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
    """Return the address of a documentation page: on the site in the package's metadata, or in the repository."""
    name, _, anchor = page.partition("#")
    with contextlib.suppress(metadata.PackageNotFoundError):
        for line in metadata.metadata("hf-saliency").get_all("Project-URL") or []:
            label, _, address = line.partition(", ")
            if label == "Documentation":
                return f"See {address.rstrip('/')}/{name}.html#{anchor}"
    return f"See docs/{name}.md#{anchor}"


def called(function: Callable[..., Any], whose: str, advice: str, *arguments: Any) -> Any:
    """Call a user's function; its error becomes the cause of a ``SaliencyError`` that names it by ``whose``.

    An out-of-memory error passes unchanged, since a smaller batch may avoid it.
    """
    try:
        return function(*arguments)
    except Exception as error:
        if isinstance(error, SaliencyError) or out_of_memory(error):
            raise
        raise SaliencyError(f"{whose} raised {described(error)} {advice}") from error


def imported(module: str, need: str, extra: str) -> Any:
    """Import a module of an optional package; if it is missing, the error names the extra that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SaliencyError(
            f"{need}, which cannot be imported ({error}): pip install 'hf-saliency[{extra}]'."
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether an error reports a lack of memory, by its message, since most devices raise a ``RuntimeError``."""
    message = str(error).lower()
    short = any(part in message for part in ("out of memory", "can't allocate memory", "not enough memory"))
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and short)


def described(error: Exception) -> str:
    """Return an error's class and the beginning of its message, as a sentence."""
    message = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {message.rstrip('.')}." if message else f"{type(error).__name__}."


def integer(value: object) -> int | None:
    """Convert an integer of Python, NumPy or PyTorch to an ``int``; return None for anything else, including a bool."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def one_of(value: object, options: Iterable[Option], name: str) -> Option:
    """Return the option that equals a value; ``name`` is the argument's name in the error.

    For a NumPy string it returns the option, a plain string, as JSON and ``type(...) is str`` require.
    """
    choices = tuple(options)
    for choice in choices:
        same_type = type(value) is type(choice) or (isinstance(value, str) and isinstance(choice, str))
        if same_type and value == choice:
            return choice
    listing = ", ".join(map(repr, choices))
    raise SaliencyError(f"{name}={shown(value)}: choose one of {listing}{_nearest(value, choices)}.")


def check_reduction(value: object, name: str = "reduction") -> Reduction:
    """Check the name of a reduction; for the former name of the sum, the error gives the present one."""
    if value == "total":
        raise SaliencyError(f"{name}='total': the sum is called 'sum', so write {name}='sum'.")
    return one_of(value, REDUCTIONS, name)


def plain(value: Any) -> Any:
    """Convert NumPy strings and integers to Python's, also within lists and tuples; return other values unchanged."""
    if type(value).__module__.partition(".")[0] == "numpy" and not hasattr(value, "__len__"):
        number = integer(value)
        return value if number is None else number
    if isinstance(value, str) and type(value).__module__.startswith("numpy"):
        return str.__str__(value)
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def shown(value: object) -> str:
    """Format a value for an error in one line; only the beginning of a long one, such as a model or a map."""
    if isinstance(value, str):
        return repr(plain(value))
    text = " ".join(repr(plain(value)).split())
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


def _nearest(value: object, options: Iterable[object]) -> str:
    """Return a question that suggests the option nearest to a value; empty if none is near."""
    if len(str(value)) > _WIDTH:
        return ""
    known = [str(option) for option in options]
    near = difflib.get_close_matches(str(value), known, n=1)
    if not near:
        # To a reader, "probability" is near "prob" and "steps" near "n_steps"; an edit distance misses these.
        parts = [option for option in known if min(len(option), len(str(value))) >= _PART]
        near = [option for option in parts if str(value) in option or option in str(value)]
    return f" (did you mean {max(near, key=len)!r}?)" if near else ""


def whole(value: object, name: str, least: int = 1) -> int:
    """Convert an integer of Python, NumPy or PyTorch to an ``int``; it must be at least ``least``."""
    number = integer(value)
    if number is None or number < least:
        raise SaliencyError(
            f"{name}={shown(value)}: give a whole number of at least {least}, such as {name}={least}."
        )
    return number


def real(value: object, name: str, example: str, *, zero: bool = False, below: float = math.inf) -> float:
    """Convert a finite Python, NumPy or PyTorch number to a ``float``; check that it is positive and under ``below``.

    With ``zero`` it may also be 0.
    """
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
    """Return spans of characters as (text_index, start, end); a pair (start, end) is in the first text."""
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

    ``arguments`` are the positional ones, including ``self``; ``synonyms`` maps keywords of other tools to the calls
    that do the same.
    """
    signature = _signature(function)
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        bound = [*signature.parameters][:1] in (["self"], ["cls"]) and "." in function.__qualname__
        known = [*signature.parameters.values()][bound:]
        raise SaliencyError(_misfit(known, arguments[bound:], keywords, name, synonyms or {})) from None


_signature = functools.cache(inspect.signature)  # cached, since a corpus makes a target for each text


def _misfit(
    known: Sequence[inspect.Parameter],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    name: str,
    synonyms: Mapping[str, str],
) -> str:
    """Explain why a call does not fit, and name the call that does."""
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
            return f"{name} takes only {', '.join(places)} by position, and other arguments by name: {call}."
        if named:
            return f"{name} takes {', '.join(named)} by name: {call}."
        return f"{name} takes {'only ' if places else 'no arguments'}{', '.join(places)}: {call}."
    for place in places[: len(arguments)]:
        if place in keywords:
            return f"{name} is given {place} twice, by position and by name: {call}."
    missing = [each.name for each in known if each.default is each.empty and each.name in takes]
    missing = [each for each in missing if each not in keywords and each not in places[: len(arguments)]]
    return f"{name} needs {', '.join(missing)}: {call}."


def _call(name: str, parameters: Sequence[inspect.Parameter], further: bool) -> str:
    """Write a call with the required arguments and, if ``further``, the first optional one that is keyword-only."""
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
    """Decorate a function so that a call that does not fit it raises an error with the call that does."""

    @functools.wraps(function)
    def checked(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        check_call(function, arguments, keywords, function.__qualname__)
        return function(*arguments, **keywords)

    return checked


class ChecksCall:
    """Base of classes in which a call that does not fit raises an error with the call that does."""

    def __new__(cls: type[Result], *arguments: Any, **keywords: Any) -> Result:
        if arguments or keywords:  # copying an object passes none
            check_call(cls.__init__, (None, *arguments), keywords, cls.__name__)
        return object.__new__(cls)


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the line of the user's code, however deep in the package it is raised."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


_LIBRARIES = ("hf_saliency", "captum", "torch", "matplotlib", "contextlib", "functools")


def is_one(texts: object) -> bool:
    """Whether a value is a single input: a string, a tuple of texts that belong together, or a conversation."""
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
    """Return one row of token ids, given as a list, an array or a tensor; None for anything else."""
    rows = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(rows, (list, tuple)) and len(rows) == 1 and isinstance(rows[0], (list, tuple)):
        rows = rows[0]
    ids = [integer(each) for each in rows] if isinstance(rows, (list, tuple)) else []
    known = tuple(each for each in ids if each is not None and each >= 0)
    return known if known and len(known) == len(ids) else None


def listed(texts: Any) -> list[Any]:
    """Return the texts of a sequence; refuse anything else, such as a mapping, whose elements are keys."""
    keyed = isinstance(texts, (Mapping, set, frozenset, bytes)) or getattr(texts, "ndim", 1) != 1
    if not keyed and isinstance(texts, Iterable) and id_list(texts) is None:
        return list(texts)
    raise no_text(texts)


def no_text(value: Any) -> SaliencyError:
    """Return the error for a value that is not a text; it names the call that takes such values."""
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
    """Replace the locks of cached properties (Python 3.11) in a forked child: a thread that is gone may hold them."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("hf_saliency.")]
    for cls in {value for module in modules for value in vars(module).values() if isinstance(value, type)}:
        for each in list(vars(cls).values()):
            if isinstance(each, functools.cached_property) and hasattr(each, "lock"):
                each.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_property_locks)

"""What a user gives: texts and whole numbers; each is read in one way here."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from hf_saliency.errors import SaliencyError


def integer(value: object) -> int | None:
    """A whole number of Python, NumPy or PyTorch; None for anything else, a truth value included."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def is_one(texts: object) -> bool:
    """Whether one explanation is of this: a string, a tuple of texts that belong together, a conversation."""
    if isinstance(texts, tuple):
        own = texts[1:] if len(texts) > 1 and _is_conversation(texts[0]) else texts
        return bool(own) and all(isinstance(one, str) for one in own)
    return isinstance(texts, str) or _is_conversation(texts)


def listed(texts: Any) -> list[Any]:
    """The texts of a sequence.

    Parameters
    ----------
    texts
        What was given in the place of one text.

    Returns
    -------
    list

    Raises
    ------
    SaliencyError
        If it is no sequence, or one whose elements are not texts: a mapping's keys, a table's columns.
    """
    keyed = isinstance(texts, (Mapping, set, frozenset, bytes)) or getattr(texts, "ndim", 1) != 1
    if not keyed and isinstance(texts, Iterable):
        return list(texts)
    hint = ""
    if isinstance(texts, Mapping):
        hint = " or explainer(row['text']); a conversation is a list of messages, explainer([message])"
    elif isinstance(texts, (set, frozenset)):
        hint = "; several are a list, explainer([text, text])"
    raise SaliencyError(
        f"a text must be a string, not {type(texts).__name__}: explainer('Some text.'){hint}."
    )


def _is_conversation(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(message, dict) for message in given)

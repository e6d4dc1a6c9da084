"""Failures: what an error says, and whose it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hf_saliency.errors import SaliencyError


def called(function: Callable[..., Any], whose: str, advice: str, *arguments: Any) -> Any:
    """What a user's function returns; what it raises becomes the cause of an error that says whose it was.

    Parameters
    ----------
    function
        The function.
    whose
        What it is called in an error.
    advice
        How it is meant to be written.
    *arguments
        What it is called with.

    Returns
    -------
    object

    Raises
    ------
    SaliencyError
        For any error of the function's but a lack of memory, which a smaller batch may mend.
    """
    try:
        return function(*arguments)
    except Exception as error:
        if isinstance(error, SaliencyError) or out_of_memory(error):
            raise
        raise SaliencyError(f"{whose} raised {described(error)} {advice}") from error


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short: only CUDA's has a class of its own."""
    said = str(error).lower()
    short = any(part in said for part in ("out of memory", "can't allocate memory", "not enough memory"))
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and short)


def described(error: Exception) -> str:
    """An error's class and the beginning of what it says, as a sentence."""
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said.rstrip('.')}." if said else f"{type(error).__name__}."

"""How a command fails: errors and warnings in one line each on standard error, and exit codes."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Iterator

import typer

from hf_saliency.cli.reading import UsageError
from hf_saliency.cli.writing import say
from hf_saliency.errors import SaliencyError


@contextlib.contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Errors and warnings in one line each, and exit codes."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest, **more: say("warning", str(message))
            yield
    except (UsageError, typer.Exit):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        say("error", _line(error))
        raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 1) from error


def _line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted."
    if isinstance(error, (SaliencyError, OSError)):
        return str(error)
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first} (--debug shows where)"

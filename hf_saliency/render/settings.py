"""Settings: Matplotlib's rcParams while a figure is drawn or saved, by one thread at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, cast

import matplotlib as mpl
import matplotlib.style

from hf_saliency.errors import SaliencyError

# rcParams belong to the process: two threads that change and restore them would restore each other's changes.
_drawing = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that nobody in it will release
    os.register_at_fork(
        before=_drawing.acquire, after_in_parent=_drawing.release, after_in_child=_drawing.release
    )


@contextlib.contextmanager
def settings(changes: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Some of Matplotlib's settings, changed while a figure is drawn; all others may be changed meanwhile."""
    with _drawing:
        params = cast(dict[str, Any], mpl.rcParams)
        before = {key: params[key] for key in changes or {}}
        try:
            params.update(changes or {})
            yield
        finally:
            params.update(before)


@contextlib.contextmanager
def styled(style: str | None) -> Iterator[None]:
    """Matplotlib's settings as a style sheet has them, for a while.

    Parameters
    ----------
    style
        A name that Matplotlib knows, or a file; None for the settings as they are.

    Yields
    ------
    None

    Raises
    ------
    SaliencyError
        If there is no such style.
    """
    with settings(), mpl.rc_context():
        try:
            matplotlib.style.use(style or {})
        except (OSError, ValueError) as error:
            names = ", ".join(repr(name) for name in matplotlib.style.available if not name.startswith("_"))
            raise SaliencyError(
                f"{style!r} is no style of Matplotlib, such as {names}, and no file."
            ) from error
        yield

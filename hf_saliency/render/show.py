"""show: maps where the user is, in a notebook or in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from hf_saliency.maps.saliency_map import SaliencyMap


def show(
    maps: SaliencyMap | Sequence[SaliencyMap],
    *,
    title: str | Sequence[str] | None = None,
    select: int | str | None = None,
    width: int = 600,
    top_k: int = 3,
) -> None:
    """Show maps in a notebook through TextualHeatmap, and anywhere else as coloured text in the terminal.

    In a notebook, pointing at a token shows what its prediction depends on. TextualHeatmap needs a complete sweep
    with an unsigned method, as the default of :class:`hf_saliency.Explainer` on a masked language model makes;
    :func:`hf_saliency.page` draws every map, with a legend and for keys and touch too. Maps with different tokens
    are compared by words, of which each shows the row of its first token.

    Parameters
    ----------
    maps
        A map, or a list of maps of one text, one facet each.
    title
        One for each map. Default: what tells them apart, method or model, if there are several.
    select
        The target that is shown first in a notebook, and alone in a terminal, by its number or by a word of the
        text. Default: the first; in a terminal all.
    width
        In pixels, in a notebook.
    top_k
        How many predictions a notebook lists.

    Raises
    ------
    SaliencyError
        If something else than maps is given; in a notebook, if they are no complete, unsigned sweeps of one text,
        or TextualHeatmap is not installed.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> hs.show(explainer("Paris is the capital of France."), select="capital")  # doctest: +ELLIPSIS
    capital (token 4, masked, logit ...)
    Paris is the [capital] of France.
    ...
    """
    from hf_saliency.render.html.page import as_list, titles_of

    given = as_list(maps, "show(maps)")
    titles = titles_of(title, given)
    if _in_notebook():
        from hf_saliency.render.html.notebook import notebook

        notebook(given, titles, 0 if select is None else select, width, top_k)
    else:
        print_text([one if select is None else one.select(select) for one in given], titles, "select=")


def _in_notebook() -> bool:
    """Whether a kernel runs this; IPython in a terminal has none, and shows no HTML."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def print_text(maps: Sequence[SaliencyMap], titles: Sequence[str], option: str) -> None:
    """Print maps as coloured text; ``option`` is what chooses their targets."""
    from hf_saliency.render import terminal
    from hf_saliency.render.typeset.invisible import printable

    console = terminal.console()
    for one, name in zip(maps, titles, strict=True):
        head = [printable(name)] if name else []
        terminal.write(console, *head, terminal.report(console, one, option), "")

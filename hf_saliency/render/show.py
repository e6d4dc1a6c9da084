"""show: maps where the user is, in a notebook or in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal, get_args

from hf_saliency.errors import checks_call, one_of
from hf_saliency.maps.saliency_map import SaliencyMap

Viewer = Literal["page", "textual_heatmap", "terminal"]


@checks_call
def show(
    maps: SaliencyMap | Sequence[SaliencyMap],
    *,
    viewer: Viewer | None = None,
    title: str | Sequence[str] | None = None,
    select: int | str | None = None,
    width: int = 600,
    top_k: int = 3,
) -> None:
    """Show maps where you are: in a notebook as a page to explore, in a terminal as coloured text.

    In a notebook, point at a word to see which tokens its prediction depends on. Every map can be shown. Maps with
    different tokens are compared by words.

    Parameters
    ----------
    maps
        A map, or a list of maps; maps of the same text are facets that move together.
    viewer
        ``"page"`` (:func:`hf_saliency.page` in a sandboxed frame, the default in a notebook), ``"terminal"`` (the
        default elsewhere), or ``"textual_heatmap"`` (TextualHeatmap itself, for complete sweeps of one text with an
        unsigned method).
    title
        One for each map. Default: the method, model or arguments in which several maps differ, or the texts' numbers.
    select
        The target that is shown first in a notebook, or the only one in a terminal: its number or a word of the
        text. Default: the first target; in a terminal, all targets.
    width
        Width of TextualHeatmap, in pixels.
    top_k
        Number of predictions that a notebook lists.

    Raises
    ------
    SaliencyError
        If something other than maps is given, the viewer is unknown, TextualHeatmap is not installed, or
        ``viewer="textual_heatmap"`` cannot show these maps.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> hs.show(explainer("Paris is the capital of France."), select="capital")  # doctest: +ELLIPSIS
    capital (token 4, masked, logit ...)
    Paris is the [capital] of France.
    ...
    """
    from hf_saliency.render.html.page import as_list, page, titles_of

    listed = as_list(maps, "show(maps)")
    titles = titles_of(title, listed)
    viewer = viewer or ("page" if _in_notebook() else "terminal")
    one_of(viewer, get_args(Viewer), "viewer")
    if viewer == "terminal":
        print_text([heat if select is None else heat.select(select) for heat in listed], titles, "select=")
        return
    if viewer == "textual_heatmap":
        from hf_saliency.render.html.notebook import notebook

        notebook(listed, titles, 0 if select is None else select, width, top_k)
        return
    import IPython.display

    display: Any = IPython.display.display
    display(page(listed, title=titles, select=0 if select is None else select, top_k=top_k))


def _in_notebook() -> bool:
    """Whether this code runs in a Jupyter kernel; IPython in a terminal has none and shows no HTML."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def print_text(maps: Sequence[SaliencyMap], titles: Sequence[str], option: str) -> None:
    """Print maps as coloured text; ``option`` is the name of the option that selects their targets."""
    from hf_saliency.render import terminal
    from hf_saliency.render.typeset.characters import printable

    console = terminal.console()
    for heat, name in zip(maps, titles, strict=True):
        head = [printable(name)] if name else []
        terminal.write(console, *head, terminal.report(console, heat, option), "")

"""show: maps in a notebook, through TextualHeatmap."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from hf_saliency.errors import SaliencyError
from hf_saliency.render.html.assets import assets
from hf_saliency.render.html.escape import clean
from hf_saliency.render.html.facets import comparable
from hf_saliency.render.html.page import as_list, titles_of
from hf_saliency.row_selection import rows_of
from hf_saliency.saliency_map import SaliencyMap

# TextualHeatmap 1.2 puts JSON into a script as it is, where a token "</script>" would end it. What follows these
# marks is a call with JSON and nothing else, in which "<" stands in strings alone.
_SETUP = 'class="textual-heatmap"></div><script>'
_CALL = "<script>"
_END = "</script>"


def show(
    maps: SaliencyMap | Sequence[SaliencyMap],
    *,
    title: str | Sequence[str] | None = None,
    select: int | str = 0,
    width: int = 600,
    top_k: int = 3,
) -> None:
    """Show maps in a notebook through TextualHeatmap: pointing at a token shows what its prediction depends on.

    TextualHeatmap needs a complete sweep with an unsigned method, as the default of
    :class:`hf_saliency.Explainer` on a masked language model makes; :func:`hf_saliency.page` draws every map,
    with a legend and for keys and touch too. Maps with different tokens are compared by words, of which each
    shows the row of its first token.

    Parameters
    ----------
    maps
        A map, or a list of maps of one text, one facet each.
    title
        One for each map. Default: what tells them apart, method or model, if there are several.
    select
        The target that is shown first, by its number or by a word of the text.
    width
        In pixels.
    top_k
        How many predictions to list.

    Raises
    ------
    SaliencyError
        If the maps are no complete, unsigned sweeps of one text, TextualHeatmap is not installed, or there is
        no notebook.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> hs.show(explainer("Paris is the capital of France."), select="capital")  # in a notebook
    """
    assets()  # an error, if it is not installed
    given = as_list(maps, "show(maps)")
    titles = titles_of(title, given)
    if len({one.texts for one in given}) > 1:
        raise SaliencyError(
            "these maps do not share their text: show them one by one, show(maps[0]), or page()."
        )
    shown = comparable(given)
    facets = [_first_rows(one).to_textual_heatmap(top_k=top_k) for one in shown]
    start = shown[0].targets[rows_of(shown[0], select)[0]].position
    _display(facets, [clean(one) for one in titles], width, start or 0)


def _first_rows(one: SaliencyMap) -> SaliencyMap:
    """The map with one row a column: of a word of several pieces the first's."""
    positions = [target.position for target in one.targets]
    if "words" not in one.arguments:
        return one
    return one.select(
        *(row for row, at in enumerate(positions) if at is not None and at not in positions[:row])
    )


def _display(facets: list[list[dict[str, Any]]], titles: list[str], width: int, start: int) -> None:
    from IPython.core.getipython import get_ipython
    from IPython.display import display
    from textualheatmap import TextualHeatmap

    if get_ipython() is None:
        raise SaliencyError(
            "there is no notebook here to show maps in: write a page, page(maps, 'page.html')."
        )
    heatmap = TextualHeatmap(
        show_meta=True,
        facet_titles=titles,
        rotate_facet_titles=len(titles) > 1,
        wrap_after_token=False,
        width=width,
        display_fn=_guarded(display),
    )
    heatmap.set_data(facets)
    heatmap.highlight(start)


def _guarded(display: Callable[..., Any]) -> Callable[..., Any]:
    """A display function that makes what is displayed safe, first and in every update."""

    class Handle:
        def __init__(self, handle: Any) -> None:
            self._handle = handle

        def update(self, shown: Any) -> None:
            if self._handle is not None:  # outside of a notebook there is nothing to update
                self._handle.update(_safe(shown))

    def guarded(shown: Any, **options: Any) -> Handle:
        return Handle(display(_safe(shown), **options))

    return guarded


def _safe(shown: Any) -> Any:
    """The object with every "<" in JSON written so that HTML does not see it."""
    html = shown.data
    if _SETUP in html:
        mark = _SETUP
    elif html.startswith(_CALL):
        mark = _CALL
    elif "<" not in html:
        return shown
    else:
        raise SaliencyError(
            "this release of textualheatmap writes other HTML than 1.2: pip install 'textualheatmap<2'."
        )
    head, _, tail = html.partition(mark)  # the first one: no string of the text comes before it
    call = tail.removesuffix(_END)
    safe = copy.copy(shown)
    safe.data = head + mark + call.replace("<", "\\u003c") + _END
    return safe

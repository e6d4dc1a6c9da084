"""Notebook: maps shown by TextualHeatmap itself."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.selection import rows_of
from hf_saliency.render.html.facets import comparable
from hf_saliency.render.html.parts import assets, clean

# TextualHeatmap 1.2 puts JSON into a script unchanged, so that a token "</script>" would end the script. After these
# marks there is only a call with JSON, in which "<" occurs only inside strings.
_SETUP = 'class="textual-heatmap"></div><script>'
_CALL = "<script>"
_END = "</script>"


def notebook(
    maps: Sequence[SaliencyMap], titles: Sequence[str], select: int | str, width: int, top_k: int
) -> None:
    """Display maps in the running notebook, as :func:`hf_saliency.show` documents."""
    assets()  # raises an error if TextualHeatmap is not installed
    if len({heat.texts for heat in maps}) > 1:
        raise SaliencyError(
            "these maps do not share their text: show them one by one, show(maps[0]), or page()."
        )
    shown = comparable(maps)
    facets = [_first_rows(heat).to_textual_heatmap(top_k=top_k) for heat in shown]
    start = shown[0].targets[rows_of(shown[0], select)[0]].position
    _display(facets, [clean(title) for title in titles], width, start or 0)


def _first_rows(heat: SaliencyMap) -> SaliencyMap:
    """The map with one row per column; a word of several pieces keeps the row of its first piece."""
    positions = [target.position for target in heat.targets]
    if "words" not in heat.arguments:
        return heat
    return heat.select(
        *(row for row, at in enumerate(positions) if at is not None and at not in positions[:row])
    )


def _display(facets: list[list[dict[str, Any]]], titles: list[str], width: int, start: int) -> None:
    from IPython.display import display
    from textualheatmap import TextualHeatmap

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
    """A display function that makes an object safe when it is displayed and in every update."""

    class Handle:
        def __init__(self, handle: Any) -> None:
            self._handle = handle

        def update(self, shown: Any) -> None:
            if self._handle is not None:  # outside a notebook there is nothing to update
                self._handle.update(_safe(shown))

    def guarded(shown: Any, **options: Any) -> Handle:
        return Handle(display(_safe(shown), **options))

    return guarded


def _safe(shown: Any) -> Any:
    """A copy of the object in which every "<" in JSON is escaped from HTML."""
    html = shown.data
    if _SETUP in html:
        mark = _SETUP
    elif html.startswith(_CALL):
        mark = _CALL
    elif "<" not in html:
        return shown
    else:
        raise SaliencyError(
            "this release of textualheatmap writes HTML in a different format from 1.2: pip install 'textualheatmap<2'."
        )
    head, _, tail = html.partition(mark)  # the first one: no string of the text comes before it
    call = tail.removesuffix(_END)
    safe = copy.copy(shown)
    safe.data = head + mark + call.replace("<", "\\u003c") + _END
    return safe

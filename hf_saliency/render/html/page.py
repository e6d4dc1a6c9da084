"""page: maps as one HTML page to explore, in a file or in a notebook, without a network."""

from __future__ import annotations

import dataclasses
import html
import os
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hf_saliency.errors import SaliencyError, checks_call
from hf_saliency.maps import attachment
from hf_saliency.maps.attachment import Attachment, Provenance
from hf_saliency.maps.reduction import Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.selection import rows_of
from hf_saliency.maps.storage import write_file
from hf_saliency.render.colors import Colors
from hf_saliency.render.html.document import Part, document
from hf_saliency.render.html.facets import Facet, comparable, groups, separate
from hf_saliency.render.html.parts import clean
from hf_saliency.render.marks.mark import shown
from hf_saliency.render.panels import describe_map, distinct_names

Which = int | slice | str | Sequence[int | slice | str]

_LINE, _CHARACTERS = 35, 80  # height of a line of text in a notebook, in pixels, and its length
_TALLEST = 900  # largest height of a page in a notebook, in pixels; a taller page scrolls


@dataclass(frozen=True, eq=False)
class Page(os.PathLike[str]):
    """A page of maps: a path for ``open``, and an object that a notebook displays.

    Parameters
    ----------
    html
        The whole page.
    embedded
        The page without its heading and its metadata, for :meth:`fragment`.
    height
        Height of the fragment, in pixels.
    path
        The file, if one was written.
    text
        Shown instead of the page in a notebook that is not trusted.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("Paris is the capital of France.")
    >>> page = hs.page(heat)
    >>> page.save("page.html").path.name
    'page.html'
    """

    html: str
    embedded: str
    height: int
    path: Path | None = None
    text: str = ""

    def save(self, path: str | os.PathLike[str]) -> Page:
        """Write the page to a file, and return the page with its path.

        Parameters
        ----------
        path
            The file; an existing one is replaced.

        Returns
        -------
        Page

        Raises
        ------
        SaliencyError
            If the file cannot be written.
        """
        write_file(path, self.html.encode())
        return dataclasses.replace(self, path=Path(path))

    def fragment(self) -> str:
        """Return an element to paste into any HTML page: a sandboxed ``iframe`` whose content loads nothing.

        Returns
        -------
        str
            HTML.
        """
        return (
            f'<iframe title="Saliency map" sandbox="allow-scripts" srcdoc="{html.escape(self.embedded, quote=True)}" '
            f'style="width:100%;height:{self.height}px;border:0;resize:vertical">{html.escape(self.text)}</iframe>'
        )

    def __fspath__(self) -> str:
        if self.path is None:
            raise SaliencyError("this page has no file yet: page.save('page.html').")
        return str(self.path)

    def __repr__(self) -> str:
        return (
            f"Page({str(self.path)!r})" if self.path else f"Page of {len(self.html):,} characters, not saved"
        )

    def _repr_html_(self) -> str:
        return self.fragment()


@checks_call
def page(
    maps: SaliencyMap | Sequence[SaliencyMap],
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | Sequence[str] | None = None,
    heading: str | None = None,
    targets: Which | None = None,
    select: int | str = 0,
    normalize: Normalization = "row_max",
    special: bool = False,
    words: bool = False,
    top_k: int = 3,
    provenance: Provenance = "map",
) -> Page:
    """Make one HTML page of maps to explore: point at a word to see which tokens its prediction depends on.

    The page needs no network and loads nothing: it contains script, style and data of TextualHeatmap, with a
    layer that adds keys (arrows, Home, End, Enter, Escape), touch, a legend, signed colours, and a light and a dark
    scheme. Without JavaScript it shows the first targets and a table of all. ``page.html#grammar`` opens the page at a
    word. Maps of one text are facets that move together; if their tokens differ, they are compared by words
    (:func:`hf_saliency.aligned`). The content of a text, a title or a label is always displayed and never executed.

    Parameters
    ----------
    maps
        A map, or a list of maps of different methods, models or texts.
    path
        The file; an existing one is replaced. None writes no file.
    title
        One for each map. Default: the method, model or arguments in which several maps differ, or the texts' numbers.
    heading
        Heading of the page. Default: "Saliency map".
    targets
        Which rows the page has: a number, a slice, a word of the text, or a list of these. Default: all.
    select
        The target that is shown first: its number or a word of the text.
    normalize
        Each row is divided by its ``"row_max"`` or ``"row_sum"``, or by nothing (``"none"``).
    special
        Show special tokens, too, if all maps have the same ones.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    top_k
        Number of predictions to list.
    provenance
        Metadata in the file, in addition to the text and the scores that it shows: the exact ``"map"``, which
        :func:`hf_saliency.read_maps` reads back, its ``"recipe"``, or ``"none"``.

    Returns
    -------
    Page
        A path to the file, which a notebook displays as the page itself.

    Raises
    ------
    SaliencyError
        If anything but maps is given, nothing is selected, TextualHeatmap is not installed, or the file
        cannot be written.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer, text = hs.Explainer(*hs.load_demo()), "Paris is the capital of France."
    >>> both = [explainer(text), explainer(text, method=hs.attn_lrp())]
    >>> hs.page(both, "page.html", select="capital").path.name
    'page.html'
    """
    level = attachment.checked(provenance)
    chosen = [_chosen(heat, targets) for heat in as_list(maps, "page(maps)")]
    titles = titles_of(title, chosen)
    visible = [shown(heat, special=special, words=words) for heat in chosen]
    parts = _parts(visible, titles, normalize, top_k, select)
    kept = Attachment(tuple(chosen), {"titles": titles, "normalize": normalize})
    whole, embedded = document(parts, heading, kept, level)
    made = Page(whole, embedded, _height(parts), text=_in_words(visible))
    return made if path is None else made.save(path)


def _in_words(maps: Sequence[SaliencyMap]) -> str:
    """The texts and their strongest tokens, shown instead of the page in a notebook that is not trusted."""
    texts = [clean(text) for text in dict.fromkeys(text for heat in maps for text in heat.texts)]
    descriptions = [describe_map(heat, "Page") for heat in maps]
    return " ".join([*texts, *descriptions, "The page itself is shown in trusted notebooks."])


def _height(parts: Sequence[Part]) -> int:
    """The approximate height of a page in a notebook, in pixels."""
    facets = [facet for part in parts for facet in part.facets]
    lines = sum(4 + len("".join(text for text, _ in facet.pieces)) // _CHARACTERS for facet in facets)
    return min(_TALLEST, 150 + _LINE * lines + 35 * len(facets))


def _parts(
    maps: Sequence[SaliencyMap],
    titles: Sequence[str],
    normalize: Normalization,
    top_k: int,
    select: int | str,
) -> list[Part]:
    """The maps of each text, with the target that is shown first."""
    numbers = groups(maps)
    compared = [[separate(heat) for heat in comparable([maps[i] for i in group])] for group in numbers]
    colors = Colors.of([heat for group in compared for heat in group], normalize)
    parts: list[Part] = []
    for group, members in zip(compared, numbers, strict=True):
        facets = [Facet(heat, titles[i], colors, top_k) for heat, i in zip(group, members, strict=True)]
        parts.append(Part(tuple(facets), _start(group, select, last=len(parts) + 1 == len(numbers) == 1)))
    return parts


def _start(maps: Sequence[SaliencyMap], select: int | str, *, last: bool) -> tuple[int, int]:
    """The map and the row to start with; among several texts, one without the word starts with its first row."""
    for number, heat in enumerate(maps):
        try:
            return number, rows_of(heat, select)[0]
        except SaliencyError:
            if last and number + 1 == len(maps):
                raise
    return 0, 0


def _chosen(heat: SaliencyMap, targets: Which | None) -> SaliencyMap:
    if not heat.targets:
        raise SaliencyError("this map has no target, so there is nothing to show: explain at least one.")
    if targets is None:
        return heat
    return heat.select(*targets) if isinstance(targets, (list, tuple)) else heat.select(cast(int, targets))


def as_list(maps: SaliencyMap | Sequence[SaliencyMap], call: str) -> list[SaliencyMap]:
    """One map or several as a list; ``call`` is the call that error messages name."""
    listed = [maps] if isinstance(maps, SaliencyMap) else maps
    if isinstance(listed, (list, tuple)) and listed and all(isinstance(heat, SaliencyMap) for heat in listed):
        return list(listed)
    kind = f"{type(maps).__name__} {reprlib.repr(maps)}"
    raise SaliencyError(f"{call} takes a SaliencyMap or a list of them, not the {kind}.")


def titles_of(title: str | Sequence[str] | None, maps: Sequence[SaliencyMap]) -> list[str]:
    """The given titles, or default names that distinguish the maps."""
    if title is not None:
        titles = [title] if isinstance(title, str) else list(title)
        if len(titles) != len(maps) or not all(isinstance(entry, str) for entry in titles):
            raise SaliencyError(f"{len(titles)} titles for {len(maps)} maps: give one string for each.")
        return titles
    several = len(groups(maps)) > 1
    names = enumerate(distinct_names(maps), 1)
    return [name or (f"text {i}" if several else "") for i, name in names]

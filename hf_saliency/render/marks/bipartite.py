"""Bipartite: tokens above, targets below, and curves from each target's strongest tokens to the target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall, whole
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.marks.mark import (
    breaks,
    name,
    runs_backwards,
    shown,
    target_name,
    text_headings,
    word_labels,
)
from hf_saliency.render.marks.token_axis import TokenAxis
from hf_saliency.render.settings import length
from hf_saliency.render.typeset.typeface import TooNarrow, Typeface

_GAP = 3.0  # points between labels and curves, for 10-point type
_NARROWEST = 3.0  # smallest width of a label, in points
_FIELD = 48.0  # height of the curves, in points
_THIN, _THICK = 0.5, 1.5


@dataclass(frozen=True)
class Bipartite(ChecksCall):
    """Tokens on a line above, targets on a line below, and curves from each target's strongest tokens.

    It suits models that read one text and write another, such as translations. Curves are coloured by score; stronger
    links are thicker. A target's own token and a score that is not finite have no curve.

    Parameters
    ----------
    links
        Number of tokens that each target is linked to.
    special
        Show special tokens too, under their own names.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    fontsize
        Largest size of labels, in points or relative to ``rcParams["font.size"]``.
    white_space
        Show tokens that are only white space, such as line breaks.
    labels
        Maximum length of a vertical label, in inches. Default: nine times its font size.

    Raises
    ------
    SaliencyError
        If ``links`` is not an integer of at least 1. Drawing raises it if the width is too narrow for the labels.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
    >>> hs.figure(heat, hs.Bipartite(links=1), width=6.3).savefig("figure.pdf")
    """

    draws_frames: ClassVar[bool] = False

    links: int = 2
    special: bool = False
    words: bool = False
    fontsize: float | str = "small"
    white_space: bool = True
    labels: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "links", whole(self.links, "links"))
        if self.labels is not None:
            length(self.labels, "labels")

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """Return the part of a map that is drawn: without hidden tokens, and merged to words if requested."""
        return shown(saliency_map, special=self.special, words=self.words, white_space=self.white_space)

    def height(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> float:
        """Return the height that the drawing needs.

        Parameters
        ----------
        saliency_map
            The map.
        colors
            The colour scale.
        width
            Width in points.

        Returns
        -------
        float
            Height in points.

        Raises
        ------
        SaliencyError
            If the width is too narrow for the labels.
        """
        return _Lines(self, self.shown(saliency_map), width).height

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map over the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            The Axes. Its width is that of both lines; its data limits are neither used nor changed.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes is too narrow for the labels.
        """
        _Lines(self, self.shown(saliency_map), points.size(ax)[0]).draw(ax, colors)


@dataclass(frozen=True)
class _Lines:
    mark: Bipartite
    part: SaliencyMap
    width: float

    @property
    def height(self) -> float:
        notes = self._small.line if self._note else 0.0
        return self._top + points.scaled(_FIELD) + points.scaled(_GAP) + self._below.height + notes

    def draw(self, ax: Axes, colors: Colors) -> None:
        values = colors.values(self.part)
        foot = self._top + points.scaled(_FIELD)
        self._above.draw(ax, 0.0)
        # Weak links first, so that strong ones are drawn over them.
        for row, column in sorted(self._links(values), key=lambda link: abs(values[link])):
            strength = min(1.0, abs(float(values[row, column])) / colors.limit)
            points.link(
                ax,
                (self._above.middle(column), self._top),
                (self._below.middle(row), foot),
                color=colors.fill(values[row, [column]])[0],
                linewidth=points.scaled(_THIN + (_THICK - _THIN) * strength),
            )
        self._below.draw(ax, foot + points.scaled(_GAP))
        if self._note:
            baseline = foot + points.scaled(_GAP) + self._below.height + self._small.ascent
            points.write(ax, 0.0, baseline, self._note, self._small)

    def _links(self, values: np.ndarray) -> list[tuple[int, int]]:
        """Return each row with the column of each of its strongest tokens."""
        strength = np.abs(np.nan_to_num(values))
        links = []
        for row, target in enumerate(self.part.targets):
            strength[row, list(target.positions)] = 0
            strongest = np.argsort(-strength[row], kind="stable")[: self.mark.links].tolist()
            links += [(row, column) for column in strongest if strength[row, column] > 0]
        return links

    @property
    def _top(self) -> float:
        return self._above.height + points.scaled(_GAP)

    @property
    def _note(self) -> str:
        notes = [self._above.note, self._below.note.replace("token", "target")]
        return ", ".join(filter(None, notes))

    @cached_property
    def _small(self) -> Typeface:
        return Typeface("x-small")

    @cached_property
    def _above(self) -> TokenAxis:
        labels = [name(label) for label in self.part.labels]
        return self._axis(labels, breaks(self.part), text_headings(self.part), above=True)

    @cached_property
    def _below(self) -> TokenAxis:
        return self._axis([target_name(target) for target in self.part.targets], (), {}, above=False)

    def _axis(
        self, labels: list[str], gaps: tuple[int, ...], names: dict[int, str], *, above: bool
    ) -> TokenAxis:
        if self.width / len(labels) < _NARROWEST:
            raise TooNarrow(f"{len(labels)} labels on a line", len(labels) * _NARROWEST, self.width)
        return TokenAxis(
            labels,
            Typeface(self.mark.fontsize),
            1.0,
            self.width - 2.0,
            even=not above,
            breaks=gaps,
            names=names,
            backwards=runs_backwards(self.part),
            above=above,
            words=word_labels(self.part) if above else (),
            longest=self.mark.labels,
        )

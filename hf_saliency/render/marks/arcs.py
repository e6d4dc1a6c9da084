"""Arcs: the strongest links of a matrix, each from a token to the target that it matters for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall, SaliencyError, whole
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.marks.mark import breaks, name, runs_backwards, shown, text_headings, word_labels
from hf_saliency.render.marks.token_axis import TokenAxis
from hf_saliency.render.settings import length
from hf_saliency.render.typeset.typeface import TooNarrow, Typeface

_GAP = 3.0  # points between arcs and labels
_NARROWEST = 3.0  # smallest width of a token, in points
_HIGH = 0.22  # height of the highest arc, as a share of the width
_THIN, _THICK = 0.5, 1.5  # points
_HEAD = 4.0  # length of an arrow's head, in points


@dataclass(frozen=True)
class Arcs(ChecksCall):
    """Tokens on a line, with arrows above it from each target's strongest tokens to the target.

    Arrows are coloured by score; stronger links are thicker. A target's own token and a score that is not finite have
    no arrow. The tokens of the targets have frames.

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
        Maximum length of a token's vertical label, in inches. Default: nine times its font size.

    Raises
    ------
    SaliencyError
        If ``links`` is not an integer of at least 1. Drawing raises it if the width is too narrow for the tokens,
        if a target is at no token that is drawn, or if only special tokens are left, since these are hidden.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
    >>> hs.figure(heat, mark=hs.Arcs(links=2), width=6.75).savefig("figure.pdf")
    """

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
        part = shown(saliency_map, special=self.special, words=self.words, white_space=self.white_space)
        unread = [target.label for target in part.targets if target.position is None]
        if unread:
            raise SaliencyError(
                f"an arc ends at its target's token, but the target {unread[0]!r} has no token among those drawn: "
                "figure(..., mark=Bars())."
            )
        return part

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
            If the width is too narrow for the tokens.
        """
        part = self.shown(saliency_map)
        axis = self._axis(part, width)
        note = self._small.line if axis.note else 0.0
        return self._high(part, colors, axis) + points.scaled(_GAP) + axis.height + 1.0 + note

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map over the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            The Axes. Its width is that of the line of tokens; its data limits are neither used nor changed.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes is too narrow for the tokens.
        """
        part = self.shown(saliency_map)
        axis = self._axis(part, points.size(ax)[0])
        values = colors.values(part)
        foot = self._high(part, colors, axis)
        # Weak links first, so that strong ones are drawn over them.
        for row, column in sorted(self._links(part, colors), key=lambda link: abs(values[link])):
            strength = min(1.0, abs(float(values[row, column])) / colors.limit)
            points.arrow(
                ax,
                (axis.middle(column), foot),
                (axis.middle(part.targets[row].position or 0), foot),
                self._rise(abs(column - (part.targets[row].position or 0)), axis),
                color=colors.fill(values[row, [column]])[0],
                linewidth=points.scaled(_THIN) + (points.scaled(_THICK) - points.scaled(_THIN)) * strength,
                head=points.scaled(_HEAD),
            )
        axis.draw(ax, foot + points.scaled(_GAP))
        for column, masked in sorted({(place, t.masked) for t in part.targets for place in t.positions}):
            box = axis.box(column, foot + points.scaled(_GAP))
            if box is not None:
                points.outline(ax, box, linewidth=0.4, dashed=not masked)
        if axis.note:
            baseline = foot + points.scaled(_GAP) + axis.height + 1.0 + self._small.ascent
            points.write(ax, 0.0, baseline, axis.note, self._small)

    @property
    def _small(self) -> Typeface:
        return Typeface("x-small")

    def _axis(self, part: SaliencyMap, width: float) -> TokenAxis:
        labels = [name(label) for label in part.labels]
        if width / len(labels) < _NARROWEST:
            raise TooNarrow(f"{len(labels)} tokens on a line", len(labels) * _NARROWEST, width)
        return TokenAxis(
            labels,
            Typeface(self.fontsize),
            1.0,
            width - 2.0,
            even=False,
            breaks=breaks(part),
            names=text_headings(part),
            backwards=runs_backwards(part),
            words=word_labels(part),
            longest=self.labels,
        )

    def _links(self, part: SaliencyMap, colors: Colors) -> list[tuple[int, int]]:
        """Return each row with the column of each of its strongest tokens."""
        strength = np.abs(np.nan_to_num(colors.values(part)))
        links = []
        for row, target in enumerate(part.targets):
            strength[row, list(target.positions)] = 0
            strongest = np.argsort(-strength[row], kind="stable")[: self.links]
            links += [(row, column) for column in strongest.tolist() if strength[row, column] > 0]
        return links

    def _high(self, part: SaliencyMap, colors: Colors, axis: TokenAxis) -> float:
        spans = [abs(column - (part.targets[row].position or 0)) for row, column in self._links(part, colors)]
        return self._rise(max(spans, default=1), axis) + points.scaled(_THICK)

    def _rise(self, span: int, axis: TokenAxis) -> float:
        """Height of an arc over ``span`` tokens; the square root keeps short arcs visible next to long ones."""
        whole = max(len(axis.labels) - 1, 1)
        return max(_HIGH * axis.width * float(np.sqrt(span / whole)), 2 * points.scaled(_HEAD))

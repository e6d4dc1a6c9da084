"""Difference: one map minus another, drawn by any other mark."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall, SaliencyError
from hf_saliency.maps.compare import aligned, partners
from hf_saliency.maps.reduction import Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.colors import Colors
from hf_saliency.render.marks.highlight import Highlight
from hf_saliency.render.marks.mark import Mark


@dataclass(frozen=True)
class Difference(ChecksCall):
    """The rows of a map minus those of another, each scaled first, on a diverging colour scale.

    Maps with different tokens are first merged to the words that they have in common. Targets are matched by
    label and place, otherwise by their number. A note reports targets that do not add up in one of the maps.

    Parameters
    ----------
    other
        The map that is subtracted.
    mark
        The mark that draws the difference.
    normalize
        How the rows of both maps are scaled before subtraction: ``"row_max"``, ``"row_sum"`` or ``"none"``.

    Raises
    ------
    SaliencyError
        Drawing raises it if the maps have different texts or different numbers of targets.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer, text = hs.Explainer(*hs.load_demo()), "She drank hot tea."
    >>> norm, product = (explainer(text, method=name) for name in ("gradient_norm", "saliency"))
    >>> hs.figure(norm, hs.Difference(product), targets="tea", width=3.25).savefig("figure.pdf")
    """

    other: SaliencyMap
    mark: Mark = field(default_factory=Highlight)
    normalize: Normalization = "row_max"

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """Return the difference as a signed map, without hidden tokens."""
        if "difference" in saliency_map.arguments:
            return self.mark.shown(saliency_map)
        first, second = saliency_map, self.other
        if first.tokens != second.tokens:
            first, second = aligned([first, second])
        rows = partners(first, second)
        if not rows:
            raise SaliencyError(
                f"a difference needs the same targets in both maps, but they have {len(first.targets)} and "
                f"{len(second.targets)} targets. Select matching ones first: Difference(other.select(0))."
            )
        second = second.part(rows, range(len(second.tokens)))
        first, second = self.mark.shown(first), self.mark.shown(second)
        deltas, sums = _incomplete(first, second)
        return dataclasses.replace(
            first,
            scores=first.normalized(self.normalize) - second.normalized(self.normalize),
            method=f"{first.method} − {second.method}",
            arguments={"difference": self.normalize},
            signed=True,
            convergence_delta=deltas,
            missed_sums=sums,
        )

    def height(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> float:
        """Return the height that the drawing needs.

        Parameters
        ----------
        saliency_map
            The map, or the difference that ``shown`` returned.
        colors
            The colour scale.
        width
            Width in points.

        Returns
        -------
        float
            Height in points.
        """
        return self.mark.height(self.shown(saliency_map), colors, width)

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the difference over the whole of an Axes.

        Parameters
        ----------
        ax
            The Axes.
        saliency_map
            The map, or the difference that ``shown`` returned.
        colors
            The colour scale.
        """
        self.mark.draw(ax, self.shown(saliency_map), colors)


def _incomplete(first: SaliencyMap, second: SaliencyMap) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return delta and missed sum of each row that does not add up in either map; the first map takes precedence."""
    deltas, sums = np.zeros(len(first.targets)), np.full(len(first.targets), np.nan)
    for heat in (second, first):
        if heat.missed_sums is not None and heat.convergence_delta is not None:
            failed = ~np.isnan(heat.missed_sums)
            deltas[failed], sums[failed] = heat.convergence_delta[failed], heat.missed_sums[failed]
    return (None, None) if np.isnan(sums).all() else (deltas, sums)

"""SaliencyMaps: the maps of several texts as a list, and their scores as one tidy table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hf_saliency.errors import SaliencyError, checks_call
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.static_html import static_html
from hf_saliency.maps.table import dataframe, score_columns
from hf_saliency.maps.wording import counted

if TYPE_CHECKING:
    import pandas as pd


_SHOWN = 10  # maps in a notebook


class SaliencyMaps(list[SaliencyMap]):
    """A list of maps, one per text, in the order of the texts.

    An explainer returns one for several texts. It behaves like any list; slices are plain lists of the same maps.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> maps = explainer(["She drank hot tea.", "He drank coffee."])
    >>> maps
    SaliencyMaps: 2 maps, gradient_norm
      7 x 9  'She drank hot tea.'
      6 x 8  'He drank coffee.'
    """

    def __repr__(self) -> str:
        methods = ", ".join(dict.fromkeys(heat.method for heat in self))
        lines = [f"SaliencyMaps: {counted(len(self), 'map')}{methods and f', {methods}'}"]
        lines += [
            f"  {len(m.targets)} x {len(m.tokens)}  {' | '.join(map(repr, m.texts))}" for m in self[:10]
        ]
        lines += [f"  ... {counted(len(self) - 10, 'more map')}"] if len(self) > 10 else []
        return "\n".join(line if len(line) <= 80 else line[:77] + "..." for line in lines)

    def _repr_html_(self) -> str | None:
        """HTML of the first ten maps, which notebooks display when the list is the last value of a cell."""
        if not self:
            return None
        shown = "".join(
            f'<div style="margin-bottom:0.5em">{static_html(heat)}</div>' for heat in self[:_SHOWN]
        )
        left = len(self) - _SHOWN
        return shown + (
            f"<div>and {counted(left, 'more map')}: hf_saliency.page(maps) shows all.</div>"
            if left > 0
            else ""
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return the scores of all maps, as :func:`hf_saliency.to_dataframe` describes them.

        Returns
        -------
        pandas.DataFrame

        Examples
        --------
        >>> import hf_saliency as hs
        >>> explainer = hs.Explainer(*hs.load_demo())
        >>> frame = explainer(["She drank tea."]).to_dataframe()  # doctest: +SKIP
        """
        return to_dataframe(self)


@checks_call
def to_dataframe(maps: SaliencyMap | Iterable[SaliencyMap]) -> pd.DataFrame:
    """Return the scores of maps as a tidy table: one row for each text, target and token.

    Parameters
    ----------
    maps
        One map or several, of any methods and texts.

    Returns
    -------
    pandas.DataFrame
        The columns are ``map_index`` (from 0), ``method``; ``target``, ``target_label``, ``against``,
        ``target_position``, ``target_score``, ``unit``, ``probability``, ``against_probability`` (NaN where there is
        none), ``missed_sum`` (the sum that the scores of the target should have if they miss it, otherwise NaN);
        ``token``, ``piece``, ``label``, ``word`` (number of the word in its text, -1 for none), ``text_index``,
        ``start``, ``end``, ``special``; ``score`` and ``normalized`` (divided by the largest magnitude of its row). A
        target without a token has the position -1.

    Raises
    ------
    SaliencyError
        If an argument is not a map, or pandas is not installed.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> frame = hs.to_dataframe(explainer(["She drank tea.", "He ate."]))  # doctest: +SKIP
    >>> frame.groupby("label").normalized.mean()  # doctest: +SKIP
    """
    return dataframe(score_columns(each_map(maps, "to_dataframe")))


def each_map(maps: SaliencyMap | Iterable[SaliencyMap], call: str) -> Iterator[SaliencyMap]:
    """Yield maps one by one, as a corpus reads them; refuse anything else when it is reached."""
    several = isinstance(maps, Iterable) and not isinstance(maps, (SaliencyMap, str, bytes))
    for heat in maps if several else [maps]:
        if not isinstance(heat, SaliencyMap):
            raise SaliencyError(f"{call}(maps) takes a SaliencyMap or several, not {type(heat).__name__}.")
        yield heat

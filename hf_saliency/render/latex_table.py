r"""to_latex_table: many examples with their labels and predictions, as a LaTeX table over as many pages as it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_saliency.errors import SaliencyError, checks_call
from hf_saliency.maps.reduction import Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.wording import incomplete_words
from hf_saliency.render.latex import EVEN, ColoredTexts, legend_of, running_text, small, snippet
from hf_saliency.render.layout import Panel
from hf_saliency.render.marks import Highlight
from hf_saliency.render.marks.mark import prediction_text, target_name
from hf_saliency.render.panels import Scales, Which, as_list, panels_of
from hf_saliency.render.passage import passage, visible
from hf_saliency.render.tex import escape

_PACKAGES = ("xcolor", "longtable")
_CELL = rf"\def\hsCell{{\raggedright{EVEN}}}%" + "\n"
# Shares of the line: a character, the gaps next to a column, the widest column, and the least for the text.
_CHARACTER, _GAPS, _WIDEST, _TEXT = 0.013, 0.03, 0.2, 0.4

Columns = Mapping[str, Sequence[Any]]


@checks_call
def to_latex_table(
    maps: SaliencyMap | Sequence[SaliencyMap],
    columns: Columns | None = None,
    *,
    mark: Highlight | None = None,
    targets: Which | None = None,
    around: int | None = None,
    normalize: Normalization = "row_max",
    text: str = "text",
    legend: bool = True,
) -> str:
    r"""Return a LaTeX table with a row for each example: its text in colour, and columns such as gold label.

    The table breaks across pages and repeats its head. It uses ``\usepackage{longtable}``, which works only on pages
    of one column: in a two-column class, write ``\onecolumn`` before it, as appendices do. It also needs
    ``\usepackage{xcolor}``. Paste the table, or ``\input`` a file of it. All rows share one colour scale.

    Parameters
    ----------
    maps
        A map, or a list of them. A map of several targets has a row for each.
    columns
        Columns before the text, such as gold label and prediction: a mapping from heads to values, one for each map
        or one for each row. Default: ``target``, the explained token or class, and ``predicted``, the model's best
        answer, where it is known.
    mark
        ``Highlight(...)`` with options for the text, as in :func:`hf_saliency.figure`.
    targets
        Which targets of each map to print. Default: all.
    around
        Print only this many tokens before and after each target. Default: the whole text.
    normalize
        The divisor of each row: ``"row_max"``, ``"row_sum"`` or ``"none"``.
    text
        The head of the text's column.
    legend
        Whether to print the colour scale and its unit below the table.

    Returns
    -------
    str

    Raises
    ------
    SaliencyError
        If something other than maps is given, if the mark is not a ``Highlight``, or if a column has the wrong number
        of values.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> maps = explainer(["She drank hot tea.", "Paris is in France."], target=hs.MaskedToken(1))
    >>> table = hs.to_latex_table(maps, {"id": ["a1", "a2"], "gold": ["she", "paris"]})
    """
    listed = as_list(maps)
    panels = panels_of(
        listed,
        running_text(mark, "to_latex_table"),
        targets=targets,
        title=[""] * len(listed),
        scales=Scales(normalize),
        ground="white",
        around=around,
    )
    parts = [panel.saliency_map for panel in panels]
    rows = [row for panel in panels for row in _texts(panel)]
    cells = _columns(columns, parts, len(rows))
    lines = [
        " & ".join([*(escape(value[i]) for value in cells.values()), row]) + r"\tabularnewline[3pt]"
        for i, row in enumerate(rows)
    ]
    heads = " & ".join(rf"\textbf{{{escape(head)}}}" for head in [*cells, text])
    start = (
        rf"\begin{{longtable}}{{{_specification(cells)}}}" + "\n\\hline\n"
        rf"{heads}\tabularnewline\hline\noalign{{\vskip2pt}}\endhead" + "\n"
    )
    key = rf"{{\footnotesize {legend_of(parts, panels[0].colors)}\par}}" + "\n" if legend else ""
    body = _CELL + start + "\n".join(lines) + "\n\\hline\n\\end{longtable}\n" + key
    return snippet(parts, body, "".join(passage(part).text for part in parts), _PACKAGES)


def _texts(panel: Panel) -> list[str]:
    """The table cell of each target of a map."""
    part = panel.saliency_map
    texts = ColoredTexts(part, passage(part), panel.colors)
    cells = []
    for row in range(len(part.targets)):
        note = incomplete_words(part, row)
        cell = texts.printed(row, named=True)
        cells.append(rf"\hsCell {cell}" + (rf"\par {small(escape(note))}".rstrip() if note else ""))
    return cells


def _columns(columns: Columns | None, parts: Sequence[SaliencyMap], count: int) -> dict[str, list[str]]:
    """The values of each column, one per row."""
    if columns is None:
        targets = [target for part in parts for target in part.targets]
        cells = {"target": [target_name(target) for target in targets]}
        if any(target.predictions for target in targets):
            best = [prediction_text(t.predictions[0])[0] if t.predictions else "" for t in targets]
            cells["predicted"] = best
        return cells
    if not isinstance(columns, Mapping):
        raise SaliencyError(
            f"columns={columns!r:.80}: give a mapping from heads to values, columns={{'gold': ['yes', 'no']}}."
        )
    repeated = [number for number, part in enumerate(parts) for _ in part.targets]
    cells = {}
    for head, values in columns.items():
        shown = [visible(str(value)) for value in values]
        if len(shown) not in (count, len(parts)):
            either = f" or {count}, one a row" if count != len(parts) else ""
            raise SaliencyError(
                f"columns={{{head!r}: ...}} has {len(shown)} values: give {len(parts)}, one for each map{either}."
            )
        cells[str(head)] = shown if len(shown) == count else [shown[number] for number in repeated]
    return cells


def _specification(cells: Mapping[str, Sequence[str]]) -> str:
    """The widths of all columns as shares of the line, without the gaps between them."""
    shares = [
        min(_WIDEST, _GAPS + _CHARACTER * max(map(len, [head, *values]))) for head, values in cells.items()
    ]
    spare = 1 - sum(shares)
    if spare < _TEXT and shares:
        shares = [share * (1 - _TEXT) / sum(shares) for share in shares]
        spare = _TEXT
    gap = r"\linewidth-2\tabcolsep\relax"
    return "".join(rf"p{{\dimexpr {share:.3f}{gap}}}" for share in [*shares, spare])

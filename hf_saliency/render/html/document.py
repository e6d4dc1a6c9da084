"""Document: a page's head, static text, data and scripts; everything is escaped, and only its own code may run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hf_saliency.maps import attachment
from hf_saliency.maps.attachment import KEY, Attachment, Provenance
from hf_saliency.maps.wording import counted, incomplete_note
from hf_saliency.palette import DARK, LIGHT, Palette
from hf_saliency.render.colors import number
from hf_saliency.render.html.facets import LEVELS, Facet, settings, shade
from hf_saliency.render.html.parts import assets, clean, data, escaped

_HEADING = "Saliency map"
_FOOTER = "<footer>Made by hf-saliency, drawn with TextualHeatmap.</footer>\n"
_STATIC = 6  # targets that are shown without a script
_LEGEND = 24  # steps of each arm in the legend
_FAINT = 16  # levels on which grey text is readable
_SIGNS = re.compile(r"[↵⇥\s]*[↵⇥][↵⇥\s]*")  # the same rule as in page.js


@dataclass(frozen=True)
class Part:
    """The facets of one text, and the (map, row) that is shown first."""

    facets: tuple[Facet, ...]
    start: tuple[int, int]


def document(
    parts: Sequence[Part], heading: str | None, kept: Attachment, level: Provenance
) -> tuple[str, str]:
    """The whole page, and the version for a frame in another page, which carries no metadata.

    There is one part for each text. ``kept`` is the metadata, and ``level`` sets how much of it the file carries. The
    same maps always produce the same HTML.
    """
    facets = [facet for part in parts for facet in part.facets]
    body = "".join(_part(part, i) for i, part in enumerate(parts))
    body += f"{_legend(facets[0])}\n{_notes(parts)}{''.join(_table(facet) for facet in facets)}"
    content = data({"levels": LEVELS, "groups": [_group(part, i) for i, part in enumerate(parts)]})
    wide = ["wide"] * any(len(part.facets) > 1 for part in parts)
    carried = attachment.dumps(kept, level)
    line = f'<script type="application/json" id="{KEY}">{carried}</script>\n' if carried else ""
    about = _about(kept) if carried else ""
    whole = _page(heading or _HEADING, heading or _HEADING, wide, body + about, _FOOTER, line, content)
    framed = _page(heading or _HEADING, heading, ["embedded", *wide], body, "", "", content)
    return whole, framed


def _page(
    title: str,
    heading: str | None,
    classes: Sequence[str],
    body: str,
    footer: str,
    carried: str,
    content: str,
) -> str:
    files = assets()
    style = f"{files.heatmap_style}\n{files.style}\n{_shades()}"
    scripts = [files.heatmap_script, files.script]
    policy = (
        f"default-src 'none'; script-src {' '.join(_hash(text) for text in scripts)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    names = f' class="{" ".join(classes)}"' if classes else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escaped(clean(title))}</title>
<!-- {_comment(files.notice)} -->
<style>{style}</style>
</head>
<body{names}>
<main>
{f"<h1><bdi>{escaped(clean(heading))}</bdi></h1>" if heading else ""}
<p class="hint with-script" hidden>Point at a word, tap it, or go to it with the arrow keys: the colours show
which words the model’s answer there depends on. Click it or press Enter to pin it, Escape to release it.</p>
<noscript><p class="hint">Without JavaScript the page shows the first targets, and all of them in the table
below.</p></noscript>
{body}</main>
{footer}{carried}<script type="application/json" id="hf_saliency_page">{content}</script>
{"".join(f"<script>{script}</script>" for script in scripts)}
</body>
</html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _comment(text: str) -> str:
    return text.replace("--", "- -").replace(">", "").strip()


def _shades() -> str:
    """The style rules for all classes that :func:`shade` returns, in the light and the dark scheme."""

    def rules(palette: Palette) -> str:
        shades = [(f"p{i}", palette.color(i / LEVELS)) for i in range(LEVELS + 1)]
        shades += [(f"n{i}", palette.color(-i / LEVELS)) for i in range(1, LEVELS + 1)]
        return "".join(f".{name}{{background-color:{color}!important}}" for name, color in shades)

    faint = ",".join(f".{arm}{i}" for arm in "pn" for i in range(_FAINT + 1))
    signs = f".textual-heatmap .facet .token-content span.sign:is({faint}){{color:var(--soft)}}"
    hatch = ".missing{background:repeating-linear-gradient(45deg,var(--ground) 0 4px,var(--soft) 4px 5px)!important}"
    return f"{rules(LIGHT)}@media(prefers-color-scheme:dark){{{rules(DARK)}}}{signs}{hatch}"


def _identifier(part: int) -> str:
    return f"hf-saliency-{part}"


def _group(part: Part, number: int) -> dict[str, Any]:
    first, row = part.start
    return {
        "settings": settings(_identifier(number), part.facets),
        "facets": [facet.data() for facet in part.facets],
        "rows": [facet.rows() for facet in part.facets],
        "limit": part.facets[0].colors.limit,
        "start": part.facets[first].selection(row),
    }


def _part(part: Part, number: int) -> str:
    """The element in which the script builds its facets, and the static content shown until then."""
    first, row = part.start
    chosen = part.facets[first].selection(row)
    blocks = "".join(_static(facet, chosen) for facet in part.facets)
    name = _identifier(number)
    return (
        f'<div class="textual-heatmap" id="{name}" hidden></div>\n'
        f'<div class="textual-heatmap static" id="{name}-static">{blocks}</div>\n'
    )


def _static(facet: Facet, chosen: dict[str, int | None]) -> str:
    """The static blocks of the first targets, with the selected one in front."""
    rows = range(len(facet.units))
    first = next((row for row in rows if facet.selection(row) == chosen), 0)
    order = [first, *(row for row in rows if row != first)][:_STATIC]
    title = (
        f'<h2 class="facet-title"><span><bdi>{escaped(clean(facet.title))}</bdi></span></h2>'
        if facet.title
        else ""
    )
    return title + "".join(_block(facet, row) for row in order)


def _block(facet: Facet, row: int) -> str:
    heat, places = facet.heat[row], facet.target_units(row)
    spans = [
        f"<span>{escaped(text)}</span>"
        if unit is None
        else f'<span class="{_classes(text, shade(heat[unit]), unit in places)}">{escaped(text)}</span>'
        for text, unit in facet.pieces
    ]
    meta = "".join(
        f'<div class="meta-content-item{" own" if own_answer else ""}"><bdi>{escaped(label)}</bdi>'
        f'<span class="probability">{escaped(probability)}</span></div>'
        for label, probability, own_answer in facet.predictions(row)
    )
    return (
        f'<section class="facet"><p class="target-line"><bdi class="label">{escaped(facet.label(row))}</bdi>'
        f'<span class="about">{escaped(facet.about(row))}</span></p>'
        f"{f'<div class=meta-content>{meta}</div>' if meta else ''}"
        f'<div class="token-content" dir="auto" lang="">{"".join(spans)}</div></section>'
    )


def _classes(text: str, shade: str, selected: bool) -> str:
    """The classes of a token: its colour, whether it is only signs for white space, and whether it is selected."""
    return " ".join([shade, *["sign"] * bool(_SIGNS.fullmatch(text)), *["selected"] * selected])


def _legend(facet: Facet) -> str:
    colors = facet.colors
    steps = range(-_LEGEND if colors.signed else 0, _LEGEND + 1)
    bar = "".join(f'<i class="{shade(step / _LEGEND)}"></i>' for step in steps)
    least = number(-colors.limit) if colors.signed else "0"
    missing = f'<span class="chip missing"></span> {", ".join(colors.missing)}' if colors.missing else ""
    return (
        f'<figure class="legend"><span>{least} <span class="bar" role="img" aria-label="colour scale">{bar}</span> '
        f"{number(colors.limit)}</span><span>{missing}</span>"
        f"<figcaption>{escaped(clean(colors.label))}</figcaption></figure>"
    )


def _notes(parts: Sequence[Part]) -> str:
    """The maps that fail their method's completeness check, each with its facet's title."""
    facets = [facet for part in parts for facet in part.facets]
    notes = [(facet.title, incomplete_note(facet.saliency_map)) for facet in facets]
    return "".join(
        f'<p class="hint"><bdi>{escaped(clean(f"{title}: {note}" if title else note))}</bdi></p>\n'
        for title, note in notes
        if note
    )


def _table(facet: Facet) -> str:
    """All targets of a map: readable without a script, and by a screen reader."""
    rows = "".join(
        f"<tr><td><bdi>{escaped(facet.label(row))}</bdi></td>"
        f'<td class="number">{escaped(facet.score(row))}</td>'
        f'<td class="items">{_items((label, value) for label, value, _ in facet.predictions(row))}</td>'
        f'<td class="items">{_items(facet.strongest(row))}</td></tr>\n'
        for row in range(len(facet.units))
    )
    of = f" of <bdi>{escaped(clean(facet.title))}</bdi>" if facet.title else ""
    count = counted(len(facet.units), "target")
    return (
        f'<details><summary>{count}{of} in a table</summary><div class="scroll"><table><thead><tr>'
        '<th scope="col">target</th><th scope="col">score</th><th scope="col">predictions</th>'
        f'<th scope="col">depends most on</th></tr></thead><tbody>\n{rows}</tbody></table></div></details>\n'
    )


def _items(pairs: Any) -> str:
    return "".join(
        f'<span><bdi>{escaped(label)}</bdi> <span class="probability">{escaped(value)}</span></span> '
        for label, value in pairs
    )


def _about(kept: Attachment) -> str:
    """A section on how the maps were made."""
    lists = ""
    for recipe in kept.recipes:
        arguments = json.dumps(recipe["arguments"], ensure_ascii=False)
        facts = {
            "method": f"{recipe['method']} {arguments}",
            **recipe["provenance"],
            "sha256": recipe["sha256"],
        }
        lines = "".join(
            f"<dt>{escaped(clean(str(k)))}</dt><dd>{escaped(clean(str(v)))}</dd>" for k, v in facts.items()
        )
        lists += f"<dl>{lines}</dl>"
    return f"<details><summary>How this was made</summary>{lists}</details>"

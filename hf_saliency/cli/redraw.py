"""``hf-saliency info``, ``show`` and ``redraw``: what a figure's file carries, without any model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_saliency.cli.inputs import assignments, value_of
from hf_saliency.cli.options import (
    Carried,
    Debug,
    Drawn,
    Mark,
    MarkAs,
    MarkOptions,
    Normalize,
    Output,
    Provenance,
    Room,
    Rows,
    Style,
)
from hf_saliency.cli.outputs import reported, writable, write

if TYPE_CHECKING:
    from hf_saliency.maps.attachment import Record
    from hf_saliency.maps.saliency_map import SaliencyMap


def info(
    file: Drawn,
    as_json: Annotated[bool, typer.Option("--json", help="The maps, or their recipes, as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Print which maps a figure or a page carries: text, targets, method, model, versions.

    No model is needed. What a file carries is as trustworthy as who wrote it: the digest recognises a map, and
    is no signature.
    """
    with reported(debug):
        from hf_saliency.maps import attachment as carriers, document as storage
        from hf_saliency.render import terminal

        found = carriers.read(file)
        if as_json:
            content = [storage.document(one) for one in found.maps] or [dict(one) for one in found.recipes]
            typer.echo(json.dumps(content, ensure_ascii=True, indent=1))
            return
        lines = [f"{file}: {_count(len(found.recipes), 'map')}{_drawn(found)}"]
        for number in range(len(found.recipes)):
            lines += ["", *_lines(found, number)]
        console = terminal.console()
        console.soft_wrap = True  # each fact is a line of its own, however long
        terminal.write(console, *(terminal.visible(line) for line in lines))


def show(file: Drawn, targets: Rows = None, debug: Debug = False) -> None:
    """Print the maps that a figure or a page carries as coloured text."""
    with reported(debug):
        from hf_saliency.maps import attachment as carriers
        from hf_saliency.render.html.page import titles_of
        from hf_saliency.render.show import print_text

        rows = _rows(targets)
        maps = [one.select(*rows) if rows else one for one in carriers.read_maps(file)]
        print_text(maps, titles_of(None, maps), "--targets")


def redraw(
    file: Drawn,
    output: Output = None,
    mark: MarkAs = None,
    option: MarkOptions = None,
    style: Style = None,
    targets: Rows = None,
    normalize: Normalize = None,
    width: Room = None,
    provenance: Carried = Provenance.map,
    debug: Debug = False,
) -> None:
    """Draw the maps that a figure or a page carries anew, without the model.

    What no option says is drawn as it was. --output FILE.json takes the maps out.
    """
    with reported(debug):
        if not output:
            raise typer.BadParameter("say where the new drawing goes.", param_hint="--output")
        from hf_saliency.maps import attachment as carriers

        found = carriers.read(file)
        maps = found.maps or tuple(carriers.read_maps(file))  # which says why there are none
        outputs = writable(output, len(maps))
        drawing = _drawing(found, mark, option or [])
        given = {
            "width": width and value_of(width),
            "normalize": normalize and normalize.value,
            "targets": _rows(targets),
        }
        drawing |= {key: value for key, value in given.items() if value is not None}
        write(maps, outputs, drawing, provenance.value, style=style)


def mark_of(mark: Mark | None, options: Sequence[str]) -> Any:
    """The mark that ``--mark`` and ``--option`` name, or None."""
    from hf_saliency.render import files as drawing

    values = {key: value_of(text) for key, text in assignments(options, "--option").items()}
    return drawing.named(mark.value, values) if mark else None


def _drawing(found: Record, mark: Mark | None, options: Sequence[str]) -> dict[str, Any]:
    """Arguments of a figure: as it was drawn, with what the command line says instead."""
    from hf_saliency.render import files as drawing

    was = drawing.settings_of(found.drawing, len(found.maps))
    if mark:
        return {**was, "mark": mark_of(mark, options)}
    old = drawing.marks_of(found.drawing)
    if not options:
        return {**was, "mark": old}
    if old is None:
        raise typer.BadParameter("say which mark takes these: --mark.", param_hint="--option")
    changed = {key: value_of(text) for key, text in assignments(options, "--option").items()}
    return {**was, "mark": [drawing.changed(one, changed) for one in old]}


def _rows(targets: Sequence[str] | None) -> list[int | str] | None:
    values = [value_of(one) for one in targets or []]
    return [v if type(v) is int else one for v, one in zip(values, targets or [], strict=True)] or None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _drawn(found: Record) -> str:
    marks = found.drawing.get("marks")
    names = (
        [str(one.get("name")) for one in marks if isinstance(one, dict)] if isinstance(marks, list) else []
    )
    drawn = f", drawn as {', '.join(dict.fromkeys(names))}" if names else ""
    width = found.drawing.get("width")
    return drawn + (f", {width:.4g} in wide" if isinstance(width, float) else f", {width}" if width else "")


def _lines(found: Record, number: int) -> list[str]:
    """One map: what is known of its text, then its recipe."""
    recipe = found.recipes[number]
    shape = recipe.get("shape")
    size = f"{shape[0]} targets x {shape[1]} tokens" if isinstance(shape, list) and len(shape) == 2 else "?"
    lines = [f"map       {size}, {_joined(recipe.get('units'))}, {recipe.get('dtype')}"]
    if found.maps:
        lines = [*_text_lines(found.maps[number]), *lines]
    else:
        lines.append("text      left out, and so are the scores")
    lines += [f"method    {recipe.get('method')} {json.dumps(recipe.get('arguments'), ensure_ascii=False)}"]
    provenance = recipe.get("provenance")
    if isinstance(provenance, Mapping):
        lines += [f"{key:9} {value}" for key, value in provenance.items()]
    return [*lines, f"sha256    {recipe.get('sha256')}"]


def _text_lines(one: SaliencyMap) -> list[str]:
    lines = [f"text      {text}" for text in one.texts]
    labels = [t.label if t.against is None else f"{t.label} - {t.against}" for t in one.targets]
    return [*lines, f"targets   {', '.join(labels)}"]


def _joined(words: Any) -> str:
    return ", ".join(map(str, words)) if isinstance(words, list) else "?"

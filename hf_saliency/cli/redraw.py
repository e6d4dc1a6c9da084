"""``hf-saliency info``, ``show`` and ``redraw``: use the maps in a figure's file, without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_saliency.cli import options
from hf_saliency.cli.arguments import assignments, value_of
from hf_saliency.cli.outputs import reported, writable, write
from hf_saliency.errors import SaliencyError
from hf_saliency.render.typeset.characters import printable_line

if TYPE_CHECKING:
    from hf_saliency.maps.attachment import Attachment
    from hf_saliency.maps.saliency_map import SaliencyMap


def info(
    file: options.Drawn,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the maps, or how they were made, as JSON.")
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Describe the maps in a figure or page.

    Prints their text, targets, method, model and versions. No model is needed. Trust a file only as far as you trust
    its author: the digest identifies a map, but it is not a signature.
    """
    with reported(debug):
        from hf_saliency.maps import attachment
        from hf_saliency.maps.wording import counted
        from hf_saliency.render import terminal

        record = attachment.read(file)
        if as_json:
            content = record.documents or record.recipes
            typer.echo(json.dumps(content, ensure_ascii=True, indent=1))
            return
        count = len(record.recipes)
        lines = [f"{file}: {counted(count, 'map')}{_drawn(record)}"]
        for number in range(count):
            lines += ["", *_lines(record, number)]
        console = terminal.console()
        console.soft_wrap = True  # each fact is one line, however long
        terminal.write(console, *map(printable_line, lines))


def show(file: options.Drawn, targets: options.Rows = None, debug: options.Debug = False) -> None:
    """Print the maps in a figure or page as coloured text."""
    with reported(debug):
        from hf_saliency.maps.attachment import read_maps
        from hf_saliency.render.html.page import titles_of
        from hf_saliency.render.show import print_text

        rows = _rows(targets)
        maps = [heat.select(*rows) if rows else heat for heat in read_maps(file)]
        print_text(maps, titles_of(None, maps), "--targets")


def redraw(
    file: options.Drawn,
    output: options.Output = None,
    mark: options.NewMark = None,
    option: options.MarkOptions = None,
    style: options.Style = None,
    targets: options.Rows = None,
    normalize: options.Normalize = None,
    width: options.Room = None,
    provenance: options.Carried = "map",
    debug: options.Debug = False,
) -> None:
    """Draw the maps in a figure or page again, without the model.

    The new figure differs only in the options that you give. --output FILE.json saves the maps themselves.
    """
    with reported(debug):
        if not output:
            raise typer.BadParameter("name the file to write.", param_hint="--output")
        from hf_saliency.maps import attachment

        record = attachment.read(file)
        maps = record.maps or tuple(attachment.read_maps(file))  # raises an error with the reason
        outputs = writable(output, len(maps))
        drawing = _drawing(record, mark, option or [])
        changes = {"width": width_of(width), "normalize": normalize, "targets": _rows(targets)}
        drawing |= {key: value for key, value in changes.items() if value is not None}
        write(maps, outputs, drawing, provenance, style=style)


def mark_of(name: str | None, assigned: Sequence[str]) -> Any:
    """Return the mark that ``--mark`` and ``--option`` define, or None."""
    if name is None:
        return None
    from hf_saliency.render.drawing import named

    values = {key: value_of(text) for key, text in assignments(assigned, "--option").items()}
    try:
        return named(name, values)
    except SaliencyError as error:
        raise typer.BadParameter(str(error), param_hint="--option" if assigned else "--mark") from error


def width_of(text: str | None) -> float | str | None:
    """Return a width in inches or the name of a venue; an invalid one is refused before a model is loaded."""
    if text is None:
        return None
    from hf_saliency.render.settings import inches

    width: float | str = value_of(text)
    try:
        inches(width, 0.0)
    except SaliencyError as error:
        raise typer.BadParameter(str(error), param_hint="--width") from error
    return width


def _drawing(record: Attachment, mark: str | None, assigned: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of the original figure, changed by the options of the command line."""
    from hf_saliency.render import drawing

    settings = drawing.settings_of(record.drawing, len(record.maps))
    if mark:
        return {**settings, "mark": mark_of(mark, assigned)}
    marks = drawing.marks_of(record.drawing)
    if not assigned:
        return {**settings, "mark": marks}
    if marks is None:
        raise typer.BadParameter("also name the mark, with --mark.", param_hint="--option")
    values = {key: value_of(text) for key, text in assignments(assigned, "--option").items()}
    return {**settings, "mark": [drawing.changed(mark, values) for mark in marks]}


def _rows(targets: Sequence[str] | None) -> list[int | str] | None:
    values = [(text, value_of(text)) for text in targets or []]
    return [value if type(value) is int else text for text, value in values] or None


def _drawn(record: Attachment) -> str:
    marks = record.drawing.get("marks")
    names = (
        [str(mark.get("name")) for mark in marks if isinstance(mark, dict)] if isinstance(marks, list) else []
    )
    drawn = f", drawn as {', '.join(dict.fromkeys(names))}" if names else ""
    width = record.drawing.get("width")
    return drawn + (f", {width:.4g} in wide" if isinstance(width, float) else f", {width}" if width else "")


def _lines(record: Attachment, number: int) -> list[str]:
    """Return the facts of one map: its text, then how it was made."""
    recipe = record.recipes[number]
    shape = recipe.get("shape")
    size = f"{shape[0]} targets x {shape[1]} tokens" if isinstance(shape, list) and len(shape) == 2 else "?"
    lines = [f"map       {size}, {_joined(recipe.get('units'))}, {recipe.get('dtype')}"]
    if record.maps:
        lines = [*_text_lines(record.maps[number]), *lines]
    else:
        lines.append("text      left out, and so are the scores")
    lines += [f"method    {recipe.get('method')} {json.dumps(recipe.get('arguments'), ensure_ascii=False)}"]
    provenance = recipe.get("provenance")
    if isinstance(provenance, Mapping):
        lines += [f"{key:9} {value}" for key, value in provenance.items()]
    return [*lines, f"sha256    {recipe.get('sha256')}"]


def _text_lines(heat: SaliencyMap) -> list[str]:
    lines = [f"text      {text}" for text in heat.texts]
    labels = [t.label if t.against is None else f"{t.label} - {t.against}" for t in heat.targets]
    return [*lines, f"targets   {', '.join(labels)}"]


def _joined(words: Any) -> str:
    return ", ".join(map(str, words)) if isinstance(words, list) else "?"

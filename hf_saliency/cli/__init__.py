"""The command line: ``hf-saliency explain``, ``demo``, ``info``, ``show`` and ``redraw``.

Torch, Transformers, Captum and Matplotlib are imported by a command once its options are known to be right,
so that help and usage errors come at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

import hf_saliency as hs
from hf_saliency.cli.demo_run import SENTENCE, demo_files, demo_log
from hf_saliency.cli.options import (
    Against,
    Arguments,
    BatchTokens,
    Carried,
    Debug,
    Device,
    Dtype,
    File,
    Kind,
    Label,
    Lines,
    MarkAs,
    Method,
    Model,
    Output,
    Overflow,
    Positions,
    Provenance,
    Quiet,
    Texts,
    TopK,
    Unit,
    Width,
)
from hf_saliency.cli.reading import UsageError, method_of, target_of, texts_of, where_of
from hf_saliency.cli.redrawing import info, mark_of, redraw, show
from hf_saliency.cli.reporting import reported
from hf_saliency.cli.writing import say, writable, write
from hf_saliency.errors import SaliencyError


class _Commands(TyperGroup):
    """The commands; a usage error is one line on standard error and exit code 2."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except UsageError as error:
            command = error.ctx.command_path if error.ctx else "hf-saliency"
            say("error", f"{error.format_message().rstrip('.')} (see {command} --help)")
            code = 2
        sys.exit(code or 0)


app = typer.Typer(cls=_Commands, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def main() -> None:
    """Run ``hf-saliency``."""
    app(prog_name="hf-saliency")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hf-saliency {hs.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Which tokens did this prediction depend on? Saliency of Hugging Face text models.

    Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
    """


@app.command()
def explain(
    text: Texts = None,
    file: File = None,
    lines: Lines = False,
    model: Model = None,
    method: Method = "gradient_norm",
    argument: Arguments = None,
    target: Kind = None,
    label: Label = None,
    positions: Positions = None,
    unit: Annotated[Unit, typer.Option(help="Of the score that is explained.")] = Unit.logit,
    against: Against = None,
    top_k: TopK = 3,
    overflow: Annotated[Overflow, typer.Option(help="What to do with a text too long.")] = Overflow.error,
    mark: MarkAs = None,
    width: Width = None,
    output: Output = None,
    provenance: Carried = Provenance.map,
    device: Device = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Of the model.")] = Dtype.float32,
    batch_tokens: BatchTokens = None,
    no_progress: Quiet = False,
    debug: Debug = False,
) -> None:
    """Explain the predictions of a language model or classifier for one or more texts.

    The text comes from TEXT, --file, or standard input. Prints the text with each token on the colour of its
    score (every target's text for up to 5 targets, else the first's), and a table of all targets: the model's
    predictions in percent, and the tokens that the score depends on most, in percent of the largest.

    \b
    --target masked     each token in turn, its position masked
             unmasked   each token, nothing masked
             next       each next token of a causal model
             label      the label of a text, the predicted one or --label NAME
             tokens     the label of each token
             WORD       this word of the text: --positions WORD
             The default is what the model's head is for.
    --positions 3,7-9   tokens by number, from 0, special ones counted: 3, 7, 8, 9
                -2      the last token but one
                study   a word or phrase of the text, at each of its places
                word:7  the same for a word that looks like something else
                chars:16:23   the characters text[16:23]

    Places are separated by commas, except after a leading word:. Of several texts, --output FILE.json writes
    FILE-1.json, FILE-2.json, ...; a figure shows all of them.
    """
    with reported(debug):
        texts = texts_of(text or [], file, lines)
        where = where_of(target, positions or [])
        outputs = writable(output or [], len(texts))
        how = method_of(method, argument or [])
        explainer = _explainer(model, device, dtype.value, batch_tokens, no_progress, debug)
        maps = explainer(
            texts,
            target=target_of(explainer, target, where, label, against, unit.value),
            method=how,
            top_k=top_k,
            overflow=overflow.value,
        )
        _print(maps)
        titles = [f"text {number}" for number in range(1, len(maps) + 1)] if len(maps) > 1 else None
        drawing = {"mark": mark_of(mark, []), "width": width, "title": titles}
        write(maps, outputs, drawing, provenance.value, rescue=True)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go.")] = Path("demo-output"),
    no_progress: Quiet = False,
    debug: Debug = False,
) -> None:
    """Explain a sentence with the bundled model; write figures, scores and a log into a folder."""
    with reported(debug):
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaliencyError(f"cannot make the folder {str(output)!r}: {error.strerror}.") from error
        writable([output / "scores.json"], 1)
        clock = [time.perf_counter()]
        explainer = _explainer(None, "cpu", "float32", None, no_progress, debug)
        clock.append(time.perf_counter())
        heat = explainer(SENTENCE)
        clock.append(time.perf_counter())
        files = demo_files(output, heat)
        clock.append(time.perf_counter())
        log = demo_log(heat, explainer, clock)
        log += [f"file      {file}, {file.stat().st_size:,} bytes" for file in files]
        (output / "log.txt").write_text("\n".join(log) + "\n", encoding="utf-8")
        _echo([*log[3:], f"file      {output / 'log.txt'}"])


app.command()(info)
app.command()(show)
app.command()(redraw)


def _echo(lines: Sequence[str]) -> None:
    from hf_saliency import terminal

    terminal.write(terminal.console(), *lines)


def _explainer(
    name: str | None, device: str, dtype: str, batch_tokens: int | None, quiet: bool, debug: bool
) -> hs.Explainer:
    if name is None:
        model, tokenizer = hs.load_demo()
    else:
        from hf_saliency.adapter.pretrained import load

        model, tokenizer = load(name, quiet, debug)
    try:
        model = cast(
            Any,
            getattr(model, {"float32": "float", "float16": "half", "float64": "double"}.get(dtype, dtype))(),
        )
        model = model.to(device)
    except (AssertionError, RuntimeError) as error:
        raise SaliencyError(f"cannot use the device {device!r}: {str(error).splitlines()[0]}") from error
    return hs.Explainer(
        model, tokenizer, batch_tokens=batch_tokens, progress=not quiet and sys.stderr.isatty()
    )


def _print(maps: Sequence[hs.SaliencyMap]) -> None:
    from hf_saliency import terminal

    console = terminal.console()
    for number, one in enumerate(maps, start=1):
        title = [f"text {number} of {len(maps)}"] if len(maps) > 1 else []
        terminal.write(console, *title, terminal.report(console, one), "")

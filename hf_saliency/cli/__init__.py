"""The command line: ``hf-saliency explain``, ``corpus``, ``demo``, ``info``, ``show``, ``redraw``, ``doctor`` and
``models``.

A command imports Torch, Transformers, Captum and Matplotlib only after it has checked its options, so that help and
usage errors appear at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import hf_saliency as hs
from hf_saliency.cli.arguments import UsageError, explainer_of
from hf_saliency.cli.corpus import corpus
from hf_saliency.cli.demo import SENTENCE, demo_files, demo_log
from hf_saliency.cli.doctor import doctor, models
from hf_saliency.cli.explain import explain
from hf_saliency.cli.options import Debug, Quiet
from hf_saliency.cli.outputs import reported, say, writable
from hf_saliency.cli.redraw import info, redraw, show
from hf_saliency.errors import SaliencyError
from hf_saliency.render.typeset.characters import printable_line


class _Commands(TyperGroup):
    """The commands; a usage error prints one line to standard error and exits with code 2."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except UsageError as error:
            command = error.ctx.command_path if error.ctx else "hf-saliency"
            say("error", f"{error.format_message().rstrip('.')} (see {command} --help)")
            code = 2
        sys.exit(code or 0)


app = typer.Typer(cls=_Commands, rich_markup_mode=None, pretty_exceptions_enable=False)


def main() -> None:
    """Run ``hf-saliency``."""
    app(prog_name="hf-saliency")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"hf-saliency {hs.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Which tokens did this prediction depend on? Saliency for Hugging Face text models.

    Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
    """


app.command()(explain)
app.command()(corpus)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write the files to.")] = Path(
        "demo-output"
    ),
    no_progress: Quiet = False,
    debug: Debug = False,
) -> None:
    """Explain a sentence with the bundled model; write example files.

    The folder then contains figures, scores and a log.
    """
    with reported(debug):
        from hf_saliency.maps.storage import write_file

        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaliencyError(f"cannot create the folder {str(output)!r}: {error.strerror}.") from error
        writable([output / "scores.json"], 1)
        clock = [time.perf_counter()]
        explainer = explainer_of(None, None, quiet=no_progress, debug=debug)
        clock.append(time.perf_counter())
        heat = explainer(SENTENCE)
        clock.append(time.perf_counter())
        files = demo_files(output, heat)
        clock.append(time.perf_counter())
        log = demo_log(heat, explainer, clock)
        log += [f"file      {file}, {file.stat().st_size:,} bytes" for file in files]
        write_file(output / "log.txt", ("\n".join(log) + "\n").encode())
        _echo([*log[3:], f"file      {output / 'log.txt'}"])


app.command()(info)
app.command()(show)
app.command()(redraw)
app.command()(doctor)
app.command()(models)


def _echo(lines: Sequence[str]) -> None:
    from hf_saliency.render import terminal

    terminal.write(terminal.console(), *map(printable_line, lines))

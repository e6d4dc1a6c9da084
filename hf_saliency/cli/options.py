"""The options of ``hf-saliency``, with their help texts and their completion in a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hf_saliency.errors import Scale


def complete_method(incomplete: str) -> list[str]:
    """The methods whose names start with these letters."""
    from hf_saliency.attribution.registry import METHODS

    return [name for name in METHODS if name.startswith(incomplete)]


def complete_mark(incomplete: str) -> list[str]:
    """The marks whose names start with these letters."""
    from hf_saliency.render.drawing import known

    return [name.lower() for name in known() if name.lower().startswith(incomplete.lower())]


def complete_target(incomplete: str) -> list[str]:
    """The kinds of targets whose names start with these letters."""
    from hf_saliency.cli.targets import kinds

    return [name for name in kinds() if name.startswith(incomplete)]


# Copies of the library's lists, since its modules take seconds to import; a test compares them with the originals.
Overflow = Literal["error", "truncate", "windows"]
Aggregation = Literal["word", "entity"]
Pooling = Literal["mean", "first", "last"]
Normalized = Literal["row_max", "row_sum", "none"]
Provenance = Literal["map", "recipe", "none"]
Dtype = Literal["float32", "float16", "bfloat16", "float64"]

Texts = Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="A text, or - for standard input.")]
File = Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Read the text from this file.")]
Lines = Annotated[
    bool, typer.Option("--lines", help="Read each line of the file or of standard input as a text.")
]
Columns = Annotated[
    bool, typer.Option("--columns", help="Like --lines; tabs in a line separate texts that belong together.")
]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--pair",
        metavar="TEXT",
        help="The text that goes with TEXT, such as a context; see above. Give one for each TEXT.",
    ),
]
Choices = Annotated[
    list[str] | None,
    typer.Option("--choice", metavar="TEXT", help="One of the choices for TEXT. Repeatable."),
]
IfTooLong = Annotated[
    Overflow,
    typer.Option(
        "--overflow",
        help="Refuse a text that is too long for the model, explain its beginning, or explain each target in a "
        "window around it.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="The folder of a model, or its name on the Hugging Face Hub. Default: the bundled model.",
    ),
]
Method = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="NAME",
        help="Attribution method; an unknown name prints all names.",
        autocompletion=complete_method,
    ),
]
Arguments = Annotated[
    list[str] | None,
    typer.Option(
        "--argument",
        "-a",
        metavar="NAME=VALUE",
        help="An argument of the method: n_steps=20, baseline=zero, feature=word. Repeatable.",
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="KIND|WORD",
        help="A kind of target, listed by hf-saliency explain --help, or a word of the text.",
        autocompletion=complete_target,
    ),
]
Label = Annotated[str | None, typer.Option("--label", metavar="NAME", help="The label to explain.")]
AllLabels = Annotated[bool, typer.Option("--all-labels", help="Explain every label of a text classifier.")]
Answer = Annotated[
    str | None,
    typer.Option(
        "--answer",
        metavar="TEXT",
        help="The answer (a part of the context) or the choice to explain. Default: the model's.",
    ),
]
Aggregate = Annotated[
    Aggregation | None,
    typer.Option("--aggregation", help="Explain the labels of whole words or entities, not of tokens."),
]
Pool = Annotated[
    Pooling | None,
    typer.Option("--pooling", help="How to combine token embeddings into one text embedding. Default: mean."),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens", metavar="N", min=1, help="Maximum number of tokens to generate. Default: 20."
    ),
]
OfScore = Annotated[
    Scale | None,
    typer.Option("--unit", help="Unit of the score. Default: logit; log_prob for tokens masked together."),
]
Positions = Annotated[
    list[str] | None,
    typer.Option(
        "--positions",
        metavar="WHERE",
        help="Tokens to explain, as hf-saliency explain --help describes. Repeatable.",
    ),
]
Against = Annotated[
    str | None,
    typer.Option("--against", metavar="TOKEN", help="Subtract the score of this token, label or choice."),
]
Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Write a figure (.pdf, .png, .svg, .pgf), LaTeX (.tex), a page (.html), maps (.json) or a table of their "
        "scores (.csv, .parquet). Repeatable.",
    ),
]
Carried = Annotated[
    Provenance,
    typer.Option(
        "--provenance",
        help="Data embedded in figures and pages: the maps, only how they were made, or nothing.",
    ),
]


def _mark(default: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        "--mark",
        metavar="NAME",
        help=f"How to draw: highlight, matrix, ...; an unknown name prints all names. Default: {default}.",
        autocompletion=complete_mark,
    )
    return option


MarkAs = Annotated[str | None, _mark("highlight for a few targets, otherwise matrix")]
NewMark = Annotated[str | None, _mark("as in FILE")]
MarkOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="NAME=VALUE", help="An option of the mark: words=true, values=true. Repeatable."
    ),
]
Normalize = Annotated[
    Normalized | None,
    typer.Option(
        "--normalize",
        help="Divide each target's scores by their largest magnitude, by the sum of the magnitudes, or by nothing. "
        "Default: as in FILE.",
    ),
]
Style = Annotated[
    str | None, typer.Option("--style", metavar="NAME", help="Name or file of a Matplotlib style sheet.")
]
Rows = Annotated[
    list[str] | None,
    typer.Option(
        "--targets",
        metavar="WHICH",
        help="Show only this target: its number, from 0, or its word. Repeatable.",
    ),
]
Drawn = Annotated[
    Path, typer.Argument(metavar="FILE", help="A .pdf, .png, .svg, .html or .json that hf-saliency wrote.")
]
Room = Annotated[
    str | None,
    typer.Option("--width", metavar="INCHES", help="Width of the figure in inches, or a venue such as acl."),
]
TopK = Annotated[
    int, typer.Option("--top-k", metavar="N", min=0, help="Number of predictions to show for each target.")
]
BatchTokens = Annotated[
    int | None,
    typer.Option(
        "--batch-tokens", metavar="N", min=1, help="Number of tokens in one pass; fewer need less memory."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="NAME", help="Where the model runs: auto (a GPU if there is one), cpu, cuda:1."
    ),
]
OfWeights = Annotated[Dtype, typer.Option("--dtype", help="Type of the model's weights.")]
Quiet = Annotated[bool, typer.Option("--no-progress", help="Hide the progress bar.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

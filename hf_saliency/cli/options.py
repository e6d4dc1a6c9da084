"""The options of ``hf-saliency``, with their help."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

Unit = enum.Enum("Unit", {"logit": "logit", "log_prob": "log_prob", "prob": "prob"})
Overflow = enum.Enum("Overflow", {"error": "error", "truncate": "truncate", "windows": "windows"})
Mark = enum.Enum("Mark", {"highlight": "highlight", "matrix": "matrix", "bars": "bars", "arcs": "arcs"})
Aggregation = enum.Enum("Aggregation", {"word": "word", "entity": "entity"})
Pooling = enum.Enum("Pooling", {"mean": "mean", "first": "first", "last": "last"})
Normalized = enum.Enum("Normalized", {"row_max": "row_max", "row_sum": "row_sum", "none": "none"})
Provenance = enum.Enum("Provenance", {"map": "map", "recipe": "recipe", "none": "none"})
Dtype = enum.Enum(
    "Dtype", {"float32": "float32", "float16": "float16", "bfloat16": "bfloat16", "float64": "float64"}
)

Texts = Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="A text; - reads standard input.")]
File = Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Read the text from a file.")]
Lines = Annotated[bool, typer.Option("--lines", help="Each line of the file or of standard input is a text.")]
Columns = Annotated[
    bool, typer.Option("--columns", help="As --lines, with texts that belong together parted by tabs.")
]
Pairs = Annotated[
    list[str] | None,
    typer.Option("--pair", metavar="TEXT", help="What belongs to the TEXT; see above. Once for each TEXT."),
]
Choices = Annotated[
    list[str] | None,
    typer.Option("--choice", metavar="TEXT", help="One of the choices after the TEXT. Repeatable."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="A folder, or a name on the Hugging Face hub. Default: the bundled one.",
    ),
]
Method = Annotated[
    str, typer.Option("--method", metavar="NAME", help="Attribution method; a wrong name lists all.")
]
Arguments = Annotated[
    list[str] | None,
    typer.Option(
        "--argument",
        "-a",
        metavar="NAME=VALUE",
        help="Of the method: n_steps=20, baseline=zero, feature=word. Repeatable.",
    ),
]
Kind = Annotated[
    str | None,
    typer.Option("--target", metavar="KIND|WORD", help="What is explained; see above."),
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="NAME", help="The label to explain, of a classifier's.")
]
AllLabels = Annotated[
    bool, typer.Option("--all-labels", help="Explain every label of a classifier of texts.")
]
Answer = Annotated[
    str | None,
    typer.Option(
        "--answer",
        metavar="TEXT",
        help="The answer to explain, a part of the context, or the choice. Default: the model's own.",
    ),
]
Aggregate = Annotated[
    Aggregation | None,
    typer.Option("--aggregation", help="Explain the labels of whole words or entities, not of tokens."),
]
Pool = Annotated[
    Pooling | None,
    typer.Option("--pooling", help="What makes one embedding of a text's tokens. Default: mean."),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens", metavar="N", min=1, help="Where a model that writes stops. Default: 20."
    ),
]
OfScore = Annotated[
    Unit | None,
    typer.Option(
        "--unit", help="Of the explained score. Default: logit; log_prob for what is masked together."
    ),
]
Positions = Annotated[
    list[str] | None,
    typer.Option("--positions", metavar="WHERE", help="At which tokens; see above. Repeatable."),
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
        help="Write a figure (.pdf, .png, .svg), a page (.html) or scores (.json). Repeatable.",
    ),
]
Carried = Annotated[
    Provenance,
    typer.Option(
        "--provenance",
        help="What figures and pages carry: text and scores, how these were made, or nothing.",
    ),
]
MarkAs = Annotated[
    Mark | None,
    typer.Option("--mark", help="How a figure looks. Default: highlight for a few targets, else matrix."),
]
MarkOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="Of the mark: words=true, values=true. Repeatable."),
]
Normalize = Annotated[Normalized | None, typer.Option("--normalize", help="What each row is divided by.")]
Style = Annotated[
    str | None, typer.Option("--style", metavar="NAME", help="A style sheet of Matplotlib, or a file of one.")
]
Rows = Annotated[
    list[str] | None,
    typer.Option("--targets", metavar="WHICH", help="Which targets: a number from 0, or a word. Repeatable."),
]
Drawn = Annotated[
    Path, typer.Argument(metavar="FILE", help="A .pdf, .png, .svg, .html or .json that hf-saliency wrote.")
]
Room = Annotated[
    str | None, typer.Option("--width", metavar="INCHES", help="Width of the figure, or a venue such as acl.")
]
Width = Annotated[float | None, typer.Option("--width", min=0.1, metavar="INCHES", help="Width of a figure.")]
TopK = Annotated[int, typer.Option("--top-k", metavar="N", min=0, help="How many predictions to show.")]
BatchTokens = Annotated[
    int | None,
    typer.Option("--batch-tokens", metavar="N", min=1, help="Tokens in one pass: less needs less memory."),
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Where the model runs: cpu, cuda, cuda:1.")
]
Quiet = Annotated[bool, typer.Option("--no-progress", help="No progress bar.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

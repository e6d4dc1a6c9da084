"""``hf-saliency corpus``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import hf_saliency as hs
from hf_saliency.cli import options
from hf_saliency.cli.arguments import explainer_of, method_of
from hf_saliency.cli.outputs import reported, say
from hf_saliency.cli.targets import default_kind, kind_of, target_of, where_of

Engine = Literal["local", "ray"]
ScoreType = Literal["float16", "float32", "float64"]


def _column(name: str, content: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(f"--{name}", metavar="NAME", help=content)
    return option


def corpus(
    file: Annotated[Path, typer.Argument(metavar="INPUT", help="A .txt, .jsonl, .csv or .parquet file.")],
    output: Annotated[
        Path, typer.Option("--output", metavar="FOLDER", help="Folder to write the corpus to.")
    ],
    text_column: Annotated[str, _column("text-column", "The column with the text.")] = "text",
    pair_column: Annotated[
        str | None, _column("pair-column", "The column with the second text of each pair.")
    ] = None,
    key_column: Annotated[
        str | None,
        _column("key-column", "The column with a unique key for each text. Default: its number, from 0."),
    ] = None,
    target_column: Annotated[
        str | None,
        _column(
            "target-column", "The column with the word, label, answer or choice to explain in each text."
        ),
    ] = None,
    group_column: Annotated[
        list[str] | None,
        _column("group-column", "Another column to keep in the corpus, such as a group. Repeatable."),
    ] = None,
    model: options.Model = None,
    method: options.Method = "gradient_norm",
    argument: options.Arguments = None,
    target: options.Kind = None,
    label: options.Label = None,
    all_labels: options.AllLabels = False,
    positions: options.Positions = None,
    aggregation: options.Aggregate = None,
    pooling: options.Pool = None,
    max_new_tokens: options.MaxNewTokens = None,
    unit: options.OfScore = None,
    against: options.Against = None,
    top_k: options.TopK = 3,
    overflow: options.IfTooLong = "error",
    scores: Annotated[
        ScoreType | None, typer.Option(help="Type of the stored scores; float16 takes half the space.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="One local process, or Ray Data, on this machine or a cluster.")
    ] = "local",
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of Ray processes; each loads the model.")
    ] = 1,
    worker_gpus: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0,
            help="GPUs for each Ray process, such as 0.5. Default: 1 if the model is on a GPU, otherwise 0.",
        ),
    ] = None,
    device: options.Device = "auto",
    dtype: options.OfWeights = "float32",
    batch_tokens: options.BatchTokens = None,
    no_progress: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Explain each text of a file; write the maps to a folder.

    INPUT has one text per line (.txt), or rows with columns. The folder contains Parquet files. To continue an
    interrupted run, run the same command again. In Python, hs.read_corpus(FOLDER) reads the maps, and its attribute
    failures lists the texts that could not be explained, with the reasons.

    The values of --target and --positions are those of hf-saliency explain.
    """
    with reported(debug):
        from hf_saliency.corpus.source_file import SourceFile

        source = SourceFile(file)
        settings = {
            "positions": where_of(target, positions or []),
            "label": label,
            "all_labels": all_labels,
            "aggregation": aggregation,
            "pooling": pooling,
            "max_new_tokens": max_new_tokens,
            "unit": unit,
            "against": against,
        }
        sample: list[str | tuple[str, ...]] = [("", "") if pair_column else ""]
        chosen_method = method_of(method, argument or [])
        kind = kind_of(target)
        chosen = target_of(kind, settings, sample, target) if kind else None  # before a model is loaded
        explainer = explainer_of(model, kind, device, dtype, batch_tokens, quiet=no_progress, debug=debug)
        chosen = chosen or target_of(default_kind(explainer), settings, sample, target)
        written = hs.write_corpus(
            explainer,
            source,
            output,
            target=chosen,
            method=chosen_method,
            top_k=top_k,
            overflow=overflow,
            text=text_column,
            pair=pair_column,
            key=key_column,
            target_column=target_column,
            columns=group_column or [],
            scores=scores,
            engine=engine,
            workers=workers,
            worker_gpus=worker_gpus,
        )
        from hf_saliency.maps.wording import counted

        typer.echo(f"{counted(len(written), 'map')}, {counted(written.failures.num_rows, 'failure')}")
        say("wrote", str(output))

"""``hf-saliency explain``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

import hf_saliency as hs
from hf_saliency.cli.inputs import explainer_of, method_of, texts_of, together
from hf_saliency.cli.options import (
    Against,
    Aggregate,
    AllLabels,
    Answer,
    Arguments,
    BatchTokens,
    Carried,
    Choices,
    Columns,
    Debug,
    Device,
    Dtype,
    File,
    Kind,
    Label,
    Lines,
    MarkAs,
    MaxNewTokens,
    Method,
    Model,
    OfScore,
    Output,
    Overflow,
    Pairs,
    Pool,
    Positions,
    Provenance,
    Quiet,
    Texts,
    TopK,
    Width,
)
from hf_saliency.cli.outputs import reported, writable, write
from hf_saliency.cli.redraw import mark_of
from hf_saliency.cli.targets import default_kind, kind_of, target_of, where_of


def explain(
    text: Texts = None,
    pair: Pairs = None,
    choice: Choices = None,
    file: File = None,
    lines: Lines = False,
    columns: Columns = False,
    model: Model = None,
    method: Method = "gradient_norm",
    argument: Arguments = None,
    target: Kind = None,
    label: Label = None,
    all_labels: AllLabels = False,
    answer: Answer = None,
    positions: Positions = None,
    aggregation: Aggregate = None,
    pooling: Pool = None,
    max_new_tokens: MaxNewTokens = None,
    unit: OfScore = None,
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
    """Explain the predictions of a text model for one or more texts.

    The text comes from TEXT, --file, or standard input. Prints the text with each token on the colour of its
    score (every target's text for up to 5 targets, else the first's), and a table of all targets: the model's
    predictions in percent, and the tokens that the score depends on most, in percent of the largest.

    \b
    --target masked        each token in turn, its position masked
             unmasked      each token, nothing masked
             span          the words at --positions, masked together
             pseudo-log-likelihood   the whole text, each token masked in turn
             next          each next token of a causal model
             continuation  what a model writes for TEXT, or --pair after TEXT
             label         the label of TEXT (and --pair): the predicted one,
                           --label NAME, or --all-labels
             tokens        the label of each token, or --aggregation word, entity
             answer        the answer to the question TEXT in its context --pair
             choice        the --choice that goes with TEXT
             similarity    how similar TEXT and --pair are
             WORD          this word of the text: --positions WORD
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
        texts = together(texts_of(text or [], file, lines or columns), columns, pair or [], choice or [])
        options = {
            "positions": where_of(target, positions or []),
            "label": label,
            "all_labels": all_labels,
            "answer": answer,
            "aggregation": aggregation and aggregation.value,
            "pooling": pooling and pooling.value,
            "max_new_tokens": max_new_tokens,
            "unit": unit and unit.value,
            "against": against,
        }
        outputs = writable(output or [], len(texts))
        how = method_of(method, argument or [])
        kind = kind_of(target)
        what = target_of(kind, options, texts, target) if kind else None  # before a model is loaded
        explainer = explainer_of(
            model, kind, device, dtype.value, batch_tokens, quiet=no_progress, debug=debug
        )
        what = what or target_of(default_kind(explainer), options, texts, target)
        maps = explainer(texts, target=what, method=how, top_k=top_k, overflow=overflow.value)
        _print(maps)
        titles = [f"text {number}" for number in range(1, len(maps) + 1)] if len(maps) > 1 else None
        drawing = {"mark": mark_of(mark, []), "width": width, "title": titles}
        write(maps, outputs, drawing, provenance.value, rescue=True)


def _print(maps: Sequence[hs.SaliencyMap]) -> None:
    from hf_saliency.render import terminal

    console = terminal.console()
    for number, one in enumerate(maps, start=1):
        title = [f"text {number} of {len(maps)}"] if len(maps) > 1 else []
        terminal.write(console, *title, terminal.report(console, one), "")

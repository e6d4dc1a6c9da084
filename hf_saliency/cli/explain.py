"""``hf-saliency explain``."""

from __future__ import annotations

from collections.abc import Sequence

import hf_saliency as hs
from hf_saliency.cli import options
from hf_saliency.cli.arguments import explainer_of, method_of, texts_of, together
from hf_saliency.cli.outputs import reported, writable, write
from hf_saliency.cli.redraw import mark_of, width_of
from hf_saliency.cli.targets import default_kind, kind_of, target_of, where_of


def explain(
    text: options.Texts = None,
    pair: options.Pairs = None,
    choice: options.Choices = None,
    file: options.File = None,
    lines: options.Lines = False,
    columns: options.Columns = False,
    model: options.Model = None,
    method: options.Method = "gradient_norm",
    argument: options.Arguments = None,
    target: options.Kind = None,
    label: options.Label = None,
    all_labels: options.AllLabels = False,
    answer: options.Answer = None,
    positions: options.Positions = None,
    aggregation: options.Aggregate = None,
    pooling: options.Pool = None,
    max_new_tokens: options.MaxNewTokens = None,
    unit: options.OfScore = None,
    against: options.Against = None,
    top_k: options.TopK = 3,
    overflow: options.IfTooLong = "error",
    mark: options.MarkAs = None,
    width: options.Room = None,
    output: options.Output = None,
    provenance: options.Carried = "map",
    device: options.Device = "auto",
    dtype: options.OfWeights = "float32",
    batch_tokens: options.BatchTokens = None,
    no_progress: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Explain the predictions of a text model for one or more texts.

    The text comes from TEXT, --file, or standard input. The command prints the text, with the score of each token as
    its background colour. With up to 5 targets it prints the text for each, otherwise only for the first. Then it
    prints a table of all targets, with the model's predictions and their probabilities in percent, and with the
    tokens that the score depends on most, in percent of the largest.

    \b
    --target masked        each token in turn, with that token masked
             unmasked      each token, with nothing masked
             span          the words at --positions, masked together
             pseudo-log-likelihood   the whole text, each token masked in turn
             next          each next token of a causal model
             continuation  the text after TEXT: --pair, or the model's own
             label         the label of TEXT (and --pair): the predicted one,
                           --label NAME, or --all-labels
             tokens        the label of each token, or --aggregation word, entity
             answer        the answer to the question TEXT in the context --pair
             choice        the --choice with the highest score, or --answer
             similarity    how similar TEXT and --pair are
             WORD          this word of the text, as --positions WORD
             Default: the target that fits the model.
    --positions 3,7-9   tokens 3, 7, 8, 9, counted from 0 with special tokens
                -2      the second-to-last token
                study   a word or phrase of the text, wherever it occurs
                word:7  the word "7", not token 7
                chars:16:23   the characters text[16:23]

    Commas separate places, except in a value that starts with word:. For several texts, --output FILE.json writes
    FILE-1.json, FILE-2.json, ...; a figure shows all texts.
    """
    with reported(debug):
        texts = together(texts_of(text or [], file, lines or columns), columns, pair or [], choice or [])
        settings = {
            "positions": where_of(target, positions or []),
            "label": label,
            "all_labels": all_labels,
            "answer": answer,
            "aggregation": aggregation,
            "pooling": pooling,
            "max_new_tokens": max_new_tokens,
            "unit": unit,
            "against": against,
        }
        outputs = writable(output or [], len(texts))
        drawing = {"mark": mark_of(mark, []), "width": width_of(width)}
        chosen_method = method_of(method, argument or [])
        kind = kind_of(target)
        chosen = target_of(kind, settings, texts, target) if kind else None  # before a model is loaded
        explainer = explainer_of(model, kind, device, dtype, batch_tokens, quiet=no_progress, debug=debug)
        chosen = chosen or target_of(default_kind(explainer), settings, texts, target)
        maps = explainer(texts, target=chosen, method=chosen_method, top_k=top_k, overflow=overflow)
        _print(maps)
        titles = [f"text {number}" for number in range(1, len(maps) + 1)] if len(maps) > 1 else None
        write(maps, outputs, {**drawing, "title": titles}, provenance, rescue=True)


def _print(maps: Sequence[hs.SaliencyMap]) -> None:
    from hf_saliency.render import terminal

    console = terminal.console()
    for number, heat in enumerate(maps, start=1):
        title = [f"text {number} of {len(maps)}"] if len(maps) > 1 else []
        terminal.write(console, *title, terminal.report(console, heat), "")

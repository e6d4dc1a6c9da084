"""Batches: rows of many targets and texts as the tensors of one call, under a budget of tokens."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hf_saliency.adapter.streams import Layout, Stream
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.targets.readout import Readout
from hf_saliency.targets.target import Row


@dataclass(frozen=True)
class Batch:
    """The arguments of one call of a :class:`Score`, and the tokens of its text that each row shows."""

    streams: tuple[Stream, ...]
    embeds: tuple[Tensor, ...]  # one per stream, (batch, tokens, width), masked and padded
    tensors: tuple[Tensor, ...]  # in the order of the score's names
    ids: tuple[Int[Tensor, "batch _"], ...]  # one per stream, padded
    rows: tuple[Row, ...]
    # For each row and stream, the tokens of its text that the model sees.
    columns: tuple[tuple[Sequence[int], ...], ...]

    @property
    def tokens(self) -> int:
        """The number of tokens of a row, padding included."""
        return sum(ids.shape[1] for ids in self.ids)

    def texts(self) -> tuple[Int[Tensor, " rows"], Int[Tensor, " texts"], Int[Tensor, " rows"]]:
        """Return the number of each row's text, each text's longest row, and each row's number in its text."""
        longest: dict[int, int] = {}
        for i, row in enumerate(self.rows):
            best = longest.setdefault(id(row.encoding), i)
            if sum(map(len, self.columns[i])) > sum(map(len, self.columns[best])):
                longest[id(row.encoding)] = i
        number = {key: n for n, key in enumerate(longest)}
        seen: Counter[int] = Counter()
        text, place = [], []
        for row in self.rows:
            text.append(number[id(row.encoding)])
            place.append(seen[text[-1]])
            seen[text[-1]] += 1
        tensor = functools.partial(torch.tensor, device=self.ids[0].device)
        return tensor(text), tensor(list(longest.values())), tensor(place)


def names(model: TextModel, rows: Sequence[Row], readout: Readout) -> tuple[str, ...]:
    """The names of the row tensors: first those that the model reads, then those that the target reads."""
    further = rows[0].encoding.inputs
    layout = readout.layout
    row_names = [name for part in range(layout.parts) for name in model.names(further, part, layout)]
    row_names += ["position", "class_id"]
    if any(ref.against_id is not None for row in rows for ref in row.refs):
        row_names.append("against_id")
    if readout.mask_id is not None or any(len(row.refs) > 1 for row in rows):
        row_names.append("weight")
    return tuple(row_names)


def seen(row: Row, model: TextModel, *, trim: bool = True) -> tuple[Sequence[int], ...]:
    """The tokens of each sequence that the model sees for a row: all, a beginning, or a window of a long text."""
    encoding = row.encoding
    parts: list[Sequence[int]] = list(encoding.parts)
    if trim and row.length is not None:
        parts[-1] = parts[-1][: row.length]
    limit = model.max_tokens
    if len(parts) == 1 and limit is not None and len(parts[0]) > limit:
        if row.length is not None:
            parts[0] = encoding.window_before(row.length, limit)
        elif row.position is not None:
            parts[0] = encoding.window(row.position, limit)
    return tuple(parts)


def shape(row: Row, model: TextModel, layout: Layout) -> tuple[int, ...]:
    """The number of tokens of each sequence of a row that is alone in its batch."""
    lengths = tuple(len(columns) for columns in seen(row, model))
    return (max(lengths),) * len(lengths) if layout.one_length else lengths


def collate(
    model: TextModel, rows: Sequence[Row], readout: Readout, names: Sequence[str], *, trim: bool = True
) -> Batch:
    """Lay rows out as masked and padded tensors; ``trim`` leaves out tokens that the model does not see."""
    columns = [seen(row, model, trim=trim) for row in rows]
    streams = readout.layout.streams(model.streams)
    tensors: dict[str, Tensor] = {}
    ids = []
    longest = max(len(part) for parts in columns for part in parts) if readout.layout.one_length else 0
    for part in range(len(streams)):
        pairs = zip(rows, columns, strict=True)
        sequences = [_sequence(row, parts[part], part, model, readout, names) for row, parts in pairs]
        unpadded = [{"input_ids": sequence.pop("ids")} for sequence in sequences]
        ids.append(model.pad(unpadded, longest)["input_ids"])
        if sequences[0]:
            tensors.update(model.pad(sequences, longest))
    tensors.update(_ref_tensors(rows, columns, readout, ids[0].device))
    embeds = tuple(stream.embed(part_ids) for stream, part_ids in zip(streams, ids, strict=True))
    return Batch(
        streams, embeds, tuple(tensors[name] for name in names), tuple(ids), tuple(rows), tuple(columns)
    )


def _sequence(
    row: Row, columns: Sequence[int], part: int, model: TextModel, readout: Readout, names: Sequence[str]
) -> dict[str, Sequence[int]]:
    """The model's inputs for one sequence, by name, and its token ids."""
    encoding = row.encoding
    masked = set(row.masked)
    ids = [model.mask_id() if i in masked else encoding.ids[i] for i in columns]
    inputs: dict[str, Sequence[int]] = {"input_ids": ids, "attention_mask": [1] * len(ids)}
    for name, values in encoding.inputs.items():
        inputs[name] = [values[i] for i in columns]
    named = {readout.layout.name(part, base): value for base, value in inputs.items()}
    return {"ids": ids, **{name: value for name, value in named.items() if name in names}}


def _ref_tensors(
    rows: Sequence[Row],
    columns: Sequence[tuple[Sequence[int], ...]],
    readout: Readout,
    device: torch.device,
) -> dict[str, Tensor]:
    """The positions, classes and weights that each row reads, padded to the row with the most; padding has weight 0."""
    count = max(len(row.refs) for row in rows)
    values_of: dict[str, list[list[float]]] = {
        name: [] for name in ("position", "class_id", "against_id", "weight")
    }
    for row, seen_parts in zip(rows, columns, strict=True):
        places = [ref.position for ref in row.refs]
        if readout.part is not None:
            slots = {column: slot for slot, column in enumerate(seen_parts[readout.part])}
            places = [slots[position] for position in places]
        missing = count - len(row.refs)
        values_of["position"].append([*places, *places[:1] * missing])
        values_of["class_id"].append([*(ref.class_id for ref in row.refs), *[0] * missing])
        values_of["against_id"].append([*(ref.against_id or 0 for ref in row.refs), *[0] * missing])
        values_of["weight"].append(
            [*[1 / len(row.refs) if row.mean else 1.0] * len(row.refs), *[0.0] * missing]
        )
    wide = torch.float32 if device.type == "mps" else torch.float64
    kinds = {name: wide if name == "weight" else torch.long for name in values_of}
    return {
        name: torch.tensor(values, dtype=kinds[name], device=device) for name, values in values_of.items()
    }


def kept(model: TextModel, batch: Batch) -> tuple[Bool[Tensor, "batch _"], ...]:
    """The tokens of each stream that are never removed: special ones, masks and padding."""
    tokens = []
    mask = model.tokenizer.mask_token_id
    for part, ids in enumerate(batch.ids):
        special = torch.ones(ids.shape, dtype=torch.bool)
        for i, (row, parts) in enumerate(zip(batch.rows, batch.columns, strict=True)):
            columns = parts[part]
            special[i, : len(columns)] = torch.tensor([row.encoding.tokens[j].special for j in columns])
        special = special.to(ids.device)
        tokens.append(special if mask is None else special | (ids == mask))
    return tuple(tokens)

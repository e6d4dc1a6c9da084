"""Senses of words, their examples, and the tensors that `sense_probe.py` is trained on."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

DATA = Path(__file__).parent / "data" / "wordnet_senses.tsv"
NONE, UNKNOWN = 0, -100  # class of words without a sense here; label of tokens that the loss ignores


@dataclass(frozen=True)
class Sense:
    """A sense of a word: its name, definition and examples, with asterisks around the word."""

    name: str
    word: str
    frequency: int
    definition: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """A text, and the character range of the word with the known sense."""

    text: str
    start: int
    end: int
    sense: int

    @classmethod
    def of(cls, marked: str, sense: int) -> Example:
        before, word, after = marked.split("*")
        return cls(before + word + after, len(before), len(before) + len(word), sense)

    @property
    def word(self) -> str:
        return self.text[self.start : self.end].lower()


class Senses:
    """The inventory of senses: class 0 means no sense, and each other class is one sense.

    Parameters
    ----------
    path
        The extract.
    """

    def __init__(self, path: Path = DATA) -> None:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        self.senses = [
            Sense(
                r["sense"], r["word"], int(r["frequency"]), r["definition"], tuple(r["examples"].split("|"))
            )
            for r in rows
        ]
        self.names = ["none", *(sense.name for sense in self.senses)]
        examples = [[Example.of(one, i) for one in sense.examples] for i, sense in enumerate(self.senses, 1)]
        self.held_out = [own[-1] for own in examples]
        kept_out = {one.text for one in self.held_out}  # the same text may also be an example of another word
        defined = [
            Example.of(f"*{sense.word}*: {sense.definition}", i) for i, sense in enumerate(self.senses, 1)
        ]
        self.training = [one for own in examples for one in own[:-1] if one.text not in kept_out] + defined
        self.words = {one.word for one in self.training} | {sense.word for sense in self.senses}

    def rivals(self, sense: int) -> list[int]:
        """All senses of the same word, this one included."""
        word = self.senses[sense - 1].word
        return [i for i, one in enumerate(self.senses, 1) if one.word == word]

    def most_frequent(self, sense: int) -> int:
        """The most frequent of the word's senses in the texts that WordNet's authors labelled."""
        return max(self.rivals(sense), key=lambda i: self.senses[i - 1].frequency)


Batch = dict[str, Tensor]


def encode(tokenizer: Any, examples: Sequence[Example], words: set[str]) -> list[tuple[Batch, int]]:
    """Return each example as a batch of one, with the position of its word's first token.

    All tokens of the word have its sense as their label. Other words that may have one are left out of the loss.
    """
    done = []
    for example in examples:
        given = tokenizer(example.text, return_offsets_mapping=True)
        own = range(example.start, example.end)
        others = [word.span() for word in re.finditer(r"\w+", example.text) if word.group().lower() in words]
        labels = [
            example.sense
            if start in own and start < end
            else UNKNOWN
            if any(first <= start < end <= last for first, last in others)
            else NONE
            for start, end in given["offset_mapping"]
        ]
        row = {**given, "sense_labels": labels}
        batch = {name: torch.tensor([row[name]]) for name in ("input_ids", "attention_mask", "sense_labels")}
        done.append((batch, labels.index(example.sense)))
    return done


def collate(batches: Sequence[Batch]) -> Batch:
    """Join batches of one into one padded batch."""
    fill = {"input_ids": 0, "attention_mask": 0, "sense_labels": UNKNOWN}
    length = max(one["input_ids"].shape[1] for one in batches)
    return {
        name: torch.cat(
            [nn.functional.pad(one[name], (0, length - one[name].shape[1]), value=value) for one in batches]
        )
        for name, value in fill.items()
    }

"""Choose WordNet senses that come with example sentences, for `sense_probe.py`.

    python examples/sense_extract.py [--wordnet /usr/share/wordnet] [--output examples/data]

Reads the data files of WordNet 3.0 (Debian's package wordnet-base) and writes ``wordnet_senses.tsv``, one sense per
line, and WordNet's licence next to it. A word is chosen if at least two of its senses have at least three examples that
contain the word itself, as listed or inflected.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
LEAST = 3  # examples that a sense needs
COLUMNS = ("sense", "word", "synset", "frequency", "definition", "examples")


@dataclass(frozen=True)
class Synset:
    """A group of synonyms, with the fields of its line in a data file.

    Parameters
    ----------
    part
        The part of speech: n, v, a or r.
    offset
        Its number in the file of that part.
    words
        The synonyms.
    related
        The sign of the relation, then part and number of the related synset: a wider meaning, the adjective that this
        one is close to, or the opposite.
    gloss
        Definition and examples.
    """

    part: str
    offset: str
    words: tuple[str, ...]
    related: tuple[tuple[str, str, str], ...]
    gloss: str

    @property
    def definition(self) -> str:
        """The gloss without its examples."""
        return re.sub(r'[;,:]?\s*"[^"]*"[^;"]*', "", self.gloss).strip(" ;")

    @property
    def examples(self) -> list[str]:
        """The sentences and phrases in quotes."""
        return list(dict.fromkeys(re.findall(r'"\s*([^"*\t|]+?)\s*"', self.gloss)))


def lines(path: Path) -> list[str]:
    """The lines of a file of WordNet, without the licence."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("  ")]


def licence(path: Path) -> str:
    """The licence at the head of a data file."""
    numbered = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("  ")]
    return "\n".join(re.sub(r"^\s*\d+ ?", "", line).rstrip() for line in numbered) + "\n"


def synsets(folder: Path) -> Iterator[Synset]:
    """Every synset of the four data files, which wndb(5WN) describes."""
    for part, name in FILES.items():
        for line in lines(folder / f"data.{name}"):
            data, gloss = line.split(" | ", 1)
            offset, _, kind, count, *rest = data.split(" ")
            places = 2 * int(count, 16)
            words = tuple(re.sub(r"\(.*", "", word).replace("_", " ") for word in rest[:places:2])
            pointers = rest[places + 1 : places + 1 + 4 * int(rest[places])]
            told = {"@", "&"} if kind == "s" else {"@", "!"}  # a head adjective has too many similar ones
            related = [
                (pointers[i], pointers[i + 2], pointers[i + 1])
                for i in range(0, len(pointers), 4)
                if pointers[i] in told
            ]
            yield Synset(part, offset, words, tuple(related), gloss)


def irregular(folder: Path) -> dict[tuple[str, str], set[str]]:
    """Irregular forms by part of speech and word."""
    found = defaultdict(set)
    for part, name in FILES.items():
        for line in lines(folder / f"{name}.exc"):
            form, *words = line.split()
            for word in words:
                found[part, word].add(form)
    return found


def regular(word: str, part: str) -> set[str]:
    """Inflected forms of a word by the rules, including some forms that do not exist."""
    short = word[:-1] if word[-1] == "e" else word[:-1] + "i" if word[-1] == "y" else word
    plural = {word + "s", word + "es", short + "es"}
    if part == "n":
        return {word, *plural}
    if part == "v":
        doubled = word + word[-1]
        ing = {word + "ing", doubled + "ing", *([word[:-1] + "ing"] if word[-1] == "e" else [])}
        return {word, *plural, short + "ed", doubled + "ed", *ing}
    return {word, short + "er", short + "est"} if part == "a" else {word}


def frequencies(folder: Path) -> dict[tuple[str, str, int], int]:
    """Counts of each sense, by its number, in the texts that WordNet's authors labelled."""
    found = {}
    for line in lines(folder / "cntlist.rev"):
        key, number, count = line.split(" ")
        word, kind = key.split("%")
        found["nvara"[int(kind[0]) - 1], word, int(number)] = int(count)
    return found


def numbers(folder: Path) -> dict[tuple[str, str, str], int]:
    """The number of a sense by part of speech, word and synset: the most frequent one is 1."""
    found = {}
    for part, name in FILES.items():
        for line in lines(folder / f"index.{name}"):
            word, _, count, *rest = line.split()
            for number, offset in enumerate(rest[-int(count) :], start=1):
                found[part, word, offset] = number
    return found


def marked(example: str, forms: set[str]) -> str | None:
    """Mark the first of some forms in an example with asterisks; None if the example has none of them."""
    for word in re.finditer(r"[\w'-]+", example):
        if word.group().lower() in forms:
            return f"{example[: word.start()]}*{word.group()}*{example[word.end() :]}"
    return None


def hints(word: str, synset: Synset, every: dict[tuple[str, str], Synset]) -> list[str]:
    """Hints that distinguish a word's senses: synonyms, opposites, wider words, the definition's beginning."""
    found = list(synset.words)
    for relation, part, offset in synset.related:
        found += ["not " * (relation == "!") + one for one in every[part, offset].words[:1]]
    start = " ".join(re.sub(r"\([^)]*\)|,|[;:].*", "", synset.definition).split()[:4])
    start = re.sub(r"( (a|an|and|as|at|by|certain|for|from|in|of|or|than|the|to|with))+$", "", start)
    return [one.lower() for one in found if word not in one.lower().split()] + [start]


def senses(folder: Path) -> Iterator[tuple[str, ...]]:
    """The rows of the extract, word by word."""
    every = {(one.part, one.offset): one for one in synsets(folder)}
    exceptions, counts, order = irregular(folder), frequencies(folder), numbers(folder)
    found: dict[str, list[tuple[Synset, list[str]]]] = defaultdict(list)
    for synset in every.values():
        for word in {word.lower() for word in synset.words if word.isalpha()}:
            forms = regular(word, synset.part) | exceptions.get((synset.part, word), set())
            examples = [done for one in synset.examples if (done := marked(one, forms))]
            if len(examples) >= LEAST:
                found[word].append((synset, examples))
    for word, own in sorted(found.items()):
        if len(own) < 2:
            continue
        used: set[str] = set()
        for synset, examples in own:
            told = next(one for one in hints(word, synset, every) if one not in used)
            used.add(told)
            number = order[synset.part, word, synset.offset]
            frequency = counts.get((synset.part, word, number), 0)
            yield (
                f"{word} ({told})",
                word,
                synset.part + synset.offset,
                str(frequency),
                synset.definition,
                "|".join(examples),
            )


def main(folder: Path, output: Path) -> None:
    """Write the extract and the licence."""
    rows = list(senses(folder))
    with (output / "wordnet_senses.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerows([COLUMNS, *rows])
    (output / "WORDNET-LICENSE").write_text(licence(folder / "data.noun"), encoding="utf-8")
    print(f"{len(rows)} senses of {len({row[1] for row in rows})} words")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "data")
    given = parser.parse_args()
    main(given.wordnet, given.output)

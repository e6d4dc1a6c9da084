"""Claims of the pages in docs/tasks about their figures, checked on the page's maps after the full training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

import hf_saliency as hs


def strongest(
    heat: hs.SaliencyMap, row: int = 0, *, but: Collection[int] = (), text: int | None = None
) -> int:
    """The token with the largest magnitude, except those in ``but``, of one text or of all."""
    own = [
        i
        for i, token in enumerate(heat.tokens)
        if not token.special and i not in but and text in (None, token.text_index)
    ]
    return max(own, key=lambda i: abs(heat.scores[row, i]))


def word(heat: hs.SaliencyMap, i: int) -> str:
    """The text of a token."""
    token = heat.tokens[i]
    return heat.texts[token.text_index][token.start : token.end]


def row_of(heat: hs.SaliencyMap, label: str) -> int:
    """The index of the last target with a label."""
    return max(i for i, target in enumerate(heat.targets) if target.label == label)


def masked(page: Mapping[str, Any]) -> None:
    """Beyond its own mask, river depends most on flows; the model would say sea."""
    heat = page["heat"]
    row = row_of(heat, "river")
    assert word(heat, strongest(heat, row, but=heat.targets[row].positions)) == "flows"
    assert [one.label for one in heat.targets[row].predictions] == ["sea", "river", "ocean"]
    assert [round(one.probability, 2) for one in heat.targets[row].predictions] == [0.32, 0.23, 0.08]


def similarity(page: Mapping[str, Any]) -> None:
    """The similarity depends most on ruled and king, and on queen."""
    heat = page["heat"]
    first = strongest(heat, text=0)
    assert {word(heat, i) for i in (first, strongest(heat, text=0, but=[first]))} == {"ruled", "king"}
    assert word(heat, strongest(heat, text=1)) == "queen"


def classification(page: Mapping[str, Any]) -> None:
    """In one text good speaks most for the label; in the other, not speaks most against it."""
    for heat, said, sign in zip(page["parts"], ("good", "not"), (1, -1), strict=True):
        assert word(heat, strongest(heat)) == said
        assert np.sign(heat.scores[0, strongest(heat)]) == sign


def tokens(page: Mapping[str, Any]) -> None:
    """Beyond itself, each name depends on flew and on the other name."""
    heat = page["names"].words()
    assert [target.label for target in heat.targets] == ["florence smith: PER", "sydney: LOC"]
    for row, (target, other) in enumerate(zip(heat.targets, ("sydney", "florence"), strict=True)):
        assert word(heat, strongest(heat, row)) in target.label
        first = strongest(heat, row, but=target.positions)
        second = strongest(heat, row, but=[*target.positions, first])
        assert {word(heat, first), word(heat, second)} == {"flew", other}


def answers(page: Mapping[str, Any]) -> None:
    """Beyond itself, each answer depends most on one word, which occurs in question and context."""
    for heat, answer, said in zip(page["heats"], ("peter", "rome"), ("sold", "lamp"), strict=True):
        (target,) = heat.targets
        assert target.label == answer
        first = strongest(heat, but=target.positions)
        found = [heat.tokens[i] for i in (first, strongest(heat, but=[*target.positions, first]))]
        assert {(one.text_index, heat.texts[one.text_index][one.start : one.end]) for one in found} == {
            (0, said),
            (1, said),
        }


def choice(page: Mapping[str, Any]) -> None:
    """The word for the need speaks most for the explained choice."""
    heat = page["one"]
    (best, *_), found = heat.targets[0].predictions, strongest(heat)
    assert best.label == heat.targets[0].label == "so she went to bed ."
    assert (word(heat, found), heat.tokens[found].text_index) == ("tired", 0)
    assert heat.scores[0, found] > 0


def own_heads(page: Mapping[str, Any]) -> None:
    """The number of animals depends most on the animals."""
    heat = page["heat"]
    first = strongest(heat)
    assert {word(heat, first), word(heat, strongest(heat, but=[first]))} == {"horse", "duck"}


def causal(page: Mapping[str, Any]) -> None:
    """Apart from the token before it, the second lamp depends most on the first, and the second anna on the first."""
    heat = page["heat"]
    assert len(page["lamps"].targets) == 2
    assert {heat.tokens[i].text_index for i in range(len(heat.tokens))} == {0}
    assert {token.text_index for token in page["given"].tokens} == {0, 1}
    for label in ("lamp", "anna"):
        row = row_of(heat, label)
        position = heat.targets[row].position
        first = strongest(heat, row)
        two = {first, strongest(heat, row, but=[first])}
        assert position - 1 in two
        assert [word(heat, i) for i in two - {position - 1}] == [label]


def seq2seq(page: Mapping[str, Any]) -> None:
    """In the source, each number depends most on its own word; overall, the last two on the token before them."""
    heat = page["heat"]
    own = {"1704": "1704", "m03": "march", "d16": "16"}
    assert {label: word(heat, strongest(heat, row_of(heat, label), text=0)) for label in own} == own
    for label in ("m03", "d16"):
        row = row_of(heat, label)
        assert strongest(heat, row) == heat.targets[row].position - 1


CLAIMS: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "masked": masked,
    "similarity": similarity,
    "classification": classification,
    "tokens": tokens,
    "answers": answers,
    "choice": choice,
    "own_heads": own_heads,
    "causal": causal,
    "seq2seq": seq2seq,
}

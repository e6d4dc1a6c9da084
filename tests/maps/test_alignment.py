from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import sample_maps as maps
from hypothesis import given, strategies as st

import hf_saliency as hs
from hf_saliency.errors import SaliencyError
from hf_saliency.maps import spans
from hf_saliency.maps.compare import aligned
from hf_saliency.maps.saliency_map import SaliencyMap

TEXT = "An unbelievable low-cost end."


def split(pattern: str, text: str = TEXT, **changes: object) -> SaliencyMap:
    """Return a sweep over the matches of a pattern, between two special tokens; row i is i + 1 times 1, 2, ..."""
    tokens = [hs.Token(m.group(), m.start(), m.end()) for m in re.finditer(pattern, text)]
    rows = [hs.TargetRow(t.piece, i + 1, 1.0, masked=True) for i, t in enumerate(tokens)]
    added = hs.Token("[CLS]", 0, 0, special=True), hs.Token("[SEP]", len(text), len(text), special=True)
    scores = np.outer(np.arange(1.0, len(rows) + 1), np.arange(len(tokens) + 2.0))
    one = SaliencyMap((text,), (added[0], *tokens, added[1]), tuple(rows), scores, "gradient_norm")
    return replace(one, **changes)  # type: ignore[arg-type]


WORDPIECES = split(r"\w{1,7}|[^\w\s]")  # An unbelie vable low - cost end .
BYTE_PAIRS = split(r"\S+?(?=able|-|\.)|\S+")  # An unbeliev able low -cost end .
CHARACTERS = split(r"(?s).")


def test_three_tokenizations_meet_at_words() -> None:
    first, *others = aligned([WORDPIECES, BYTE_PAIRS, CHARACTERS])
    assert first.labels == ("An", "unbelievable", "low", "-cost", "end", ".")
    for other in others:
        assert (other.texts, other.tokens) == (first.texts, first.tokens)


def test_scores_are_those_of_the_tokens_that_touch_a_unit() -> None:
    merged, _ = aligned([WORDPIECES, BYTE_PAIRS])
    np.testing.assert_array_equal(merged.scores[0], [1, 2 + 3, 4, 5 + 6, 7, 8])
    strongest, _ = aligned([WORDPIECES, BYTE_PAIRS], "max")
    np.testing.assert_array_equal(strongest.scores[0], [1, 3, 4, 6, 7, 8])


def test_rows_stay_and_are_read_in_their_unit() -> None:
    merged, other = aligned([WORDPIECES, BYTE_PAIRS])
    assert [t.position for t in merged.targets] == [0, 1, 1, 2, 3, 3, 4, 5]
    assert [t.position for t in other.targets] == [0, 1, 1, 2, 3, 4, 5]
    spaces = [t.position for t in aligned([CHARACTERS])[0].targets]
    assert spaces[:4] == [0, 0, None, 1]


def test_a_token_of_several_words_joins_them_everywhere() -> None:
    phrase = split("An unbelievable|[\\w-]+|\\.")
    assert aligned([WORDPIECES, phrase])[0].labels == ("An unbelievable", "low-cost", "end", ".")


def test_what_one_map_does_not_cover_is_in_none() -> None:
    cut = WORDPIECES.part(range(2), range(4))
    whole, part = aligned([WORDPIECES, cut])
    assert whole.labels == part.labels == ("An", "unbelievable")
    assert whole.targets[-1].position is None


def test_signs_and_names_follow_the_reduction() -> None:
    signed = replace(WORDPIECES, signed=True)
    assert aligned([signed], "sum")[0].signed
    assert not aligned([signed], "norm")[0].signed
    assert aligned([signed], "mean")[0].arguments["words"] == "mean"
    assert aligned([signed.words("max")], "sum")[0].arguments["words"] == "max"


def test_texts_of_a_pair_are_kept_apart() -> None:
    pair = replace(
        maps.of("a b", [(0, 1), (2, 3)]),
        texts=("a b", "a"),
        tokens=(hs.Token("a", 0, 1, 0), hs.Token("b", 2, 3, 0), hs.Token("a", 0, 1, 1)),
        scores=np.array([[1.0, 2.0, 4.0]]),
        targets=(maps.target("x", 2),),
    )
    (found,) = aligned([pair])
    assert [(t.text_index, t.start) for t in found.tokens] == [(0, 0), (0, 2), (1, 0)]
    np.testing.assert_array_equal(found.scores, [[1, 2, 4]])
    assert found.targets[0].position == 2


@given(st.data())
def test_units_are_the_same_disjoint_and_lose_no_score(data: st.DataObject) -> None:
    text = data.draw(maps.texts)
    places = st.lists(maps.spans(text), min_size=1, max_size=5)
    given_maps = [maps.of(text, data.draw(places)) for _ in range(2)]
    try:
        found = aligned(given_maps, "max")
    except SaliencyError:
        return
    assert found[0].tokens == found[1].tokens
    borders = [b for token in found[0].tokens for b in (token.start, token.end)]
    assert borders == sorted(borders)
    every = [text[a:b] for a, b in spans.words(text)]
    for word in every:
        assert sum(word in token.piece for token in found[0].tokens) <= text.count(word)
    for before, after in zip(given_maps, found, strict=True):
        touching = [
            score
            for token, score in zip(before.tokens, before.scores[0], strict=True)
            if any(max(token.start, t.start) < min(token.end, t.end) for t in after.tokens)
        ]
        assert after.scores.max() == max(touching)


@pytest.mark.parametrize(
    ("given_maps", "message"),
    [
        ([WORDPIECES, split(r"\w+", "Another text")], r"do not share their text: \('An unb.*'Another text'"),
        ([], r"a list of SaliencyMaps, not the list \[\]: aligned\(\[one, other\]\)"),
        ([maps.of("a b", [(0, 1)]), maps.of("a b", [(2, 3)])], "no word in common"),
    ],
)
def test_maps_that_cannot_be_aligned_are_refused(given_maps: list[SaliencyMap], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        aligned(given_maps)
    with pytest.raises(SaliencyError, match="choose one of 'sum'"):
        aligned([WORDPIECES], "median")  # type: ignore[arg-type]

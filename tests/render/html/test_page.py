"""The page as a file: its size, bytes, security policy, data and errors."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html as markup
import importlib.metadata
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_maps as maps
from handmade import SENTENCE, of_spans, pair, saliency_map, with_scores

import hf_saliency as hs
from hf_saliency.errors import SaliencyError
from hf_saliency.maps.attachment import KEY
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.colors import Colors
from hf_saliency.render.html import parts as module
from hf_saliency.render.html.facets import Facet, comparable, separate, shade
from hf_saliency.render.html.page import titles_of
from hf_saliency.render.panels import distinct_names

HEAT = saliency_map(SENTENCE)


def written(tmp_path: Path, given: Any = HEAT, **options: Any) -> str:
    return hs.page(given, **options).html


def content(html: str) -> Any:
    (found,) = re.findall(r'<script type="application/json" id="hf_saliency_page">(.*)</script>', html)
    return json.loads(found)


def facet(one: SaliencyMap) -> Facet:
    return Facet(separate(one), "", Colors.of([separate(one)]), 3)


def test_a_page_of_128_targets_is_under_a_megabyte_and_a_small_one_small(tmp_path: Path) -> None:
    text = " ".join(f"word{i}" for i in range(128))
    assert len(written(tmp_path, saliency_map(text)).encode()) < 1_000_000
    assert len(written(tmp_path, maps.sweep()).encode()) < 70_000


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path, [HEAT, HEAT]) == written(tmp_path, [HEAT, HEAT])


def test_it_names_no_address(tmp_path: Path) -> None:
    html = written(tmp_path, provenance="none")
    assert (
        re.findall(r"https?:|//[a-z]|url\(|@import|src=|href=", re.sub(r"<!--.*?-->", "", html, flags=re.S))
        == []
    )


def test_only_the_scripts_that_the_policy_names_are_there(tmp_path: Path) -> None:
    html = written(tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.S)
    styles = re.findall(r"<style>(.*?)</style>", html, flags=re.S)
    assert (len(scripts), len(styles)) == (2, 1)
    for text in scripts + styles:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert " style=" not in html  # the policy would block inline styles
    own = importlib.metadata.distribution("textualheatmap").locate_file(
        "textualheatmap/web_assets/textual_heatmap.js"
    )
    assert scripts[0] == Path(str(own)).read_text(encoding="utf-8")
    assert "Copyright" in html


def test_the_data_are_textualheatmaps(tmp_path: Path) -> None:
    (group,) = content(written(tmp_path))["groups"]
    theirs = HEAT.to_textual_heatmap()
    (ours,) = group["facets"]
    assert [token["token"] for token in ours] == [token["token"] for token in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.get("format") == other.get("format")
        assert one.get("meta") == other.get("meta")
        assert one.get("heat", []) == pytest.approx(other.get("heat", []), abs=5e-4)
    assert group["settings"] == {
        "id": "hf-saliency-0",
        "width": 600,
        "showMeta": True,
        "facetTitles": [""],
        "interactive": True,
        "rotateFacetTitles": False,
        "wrapAfterTokens": False,
    }


def test_what_the_file_carries(tmp_path: Path) -> None:
    path = Path(hs.page([HEAT, HEAT.select(0)], tmp_path / "page.html"))
    assert hs.read_maps(path) == [HEAT, HEAT.select(0)]
    hs.page(HEAT, path, provenance="recipe")
    with pytest.raises(SaliencyError, match="carries no text"):
        hs.read_maps(path)
    assert "How this was made" in path.read_text(encoding="utf-8")
    hs.page(HEAT, path, provenance="none")
    with pytest.raises(SaliencyError, match="carries no saliency map"):
        hs.read_maps(path)
    assert "How this was made" not in path.read_text(encoding="utf-8")


def test_the_start_is_chosen_by_number_or_word(tmp_path: Path) -> None:
    def start(**options: Any) -> Any:
        return content(written(tmp_path, **options))["groups"][0]["start"]

    assert start() == {"unit": 0, "free": None}
    assert start(select=-1) == {"unit": 34, "free": None}
    assert start(select="study") == {"unit": 3, "free": None}
    with pytest.raises(SaliencyError, match="no target is at the word 'Paris'"):
        start(select="Paris")


def test_special_tokens_are_hidden_unless_asked_for(tmp_path: Path) -> None:
    heat = saliency_map("a b", special=True)
    tokens = [t["token"] for t in content(written(tmp_path, heat))["groups"][0]["facets"][0]]
    assert tokens == ["a", " ", "b"]
    shown = [t["token"] for t in content(written(tmp_path, heat, special=True))["groups"][0]["facets"][0]]
    assert [t for t in shown if t.strip()] == ["[CLS]", "a", "b", "[SEP]"]


def test_words_targets_and_normalisation(tmp_path: Path) -> None:
    (group,) = content(written(tmp_path, maps.sweep(), words=True, targets="end", normalize="none"))["groups"]
    assert [t["token"] for t in group["facets"][0] if "heat" in t] == ["an", "un", "-", "believable", "end"]
    assert [row["label"] for row in group["rows"][0]] == ["end"]
    assert group["limit"] == 6 * 9  # the row of "end" at the merged pieces 4 and 5


def test_texts_are_groups_of_their_own(tmp_path: Path) -> None:
    other = saliency_map("hot tea")
    groups = content(written(tmp_path, [HEAT, other, HEAT]))["groups"]
    assert [len(group["facets"]) for group in groups] == [2, 1]


def test_titles_say_what_differs() -> None:
    def one(method: str, model: str, text: str = "a") -> SaliencyMap:
        heat = saliency_map(text, method=method)
        return SaliencyMap(
            heat.texts, heat.tokens, heat.targets, heat.scores, method, provenance={"model": model}
        )

    assert titles_of(None, [one("m", "x")]) == [""]
    assert titles_of(None, [one("m_1", "x"), one("m_2", "x")]) == ["m 1", "m 2"]
    assert titles_of(None, [one("m", "x"), one("m", "y")]) == ["x", "y"]
    assert titles_of(None, [one("m", "x"), one("n", "y")]) == ["m, x", "n, y"]
    assert titles_of(None, [one("m", "x", "a"), one("m", "x", "b")]) == ["text 1", "text 2"]
    steps = [dataclasses.replace(one("lime", "x"), arguments={"n_samples": n}) for n in (5, "not_known")]
    assert titles_of(None, steps) == distinct_names(steps) == ["n samples 5", "n samples not known"]
    assert titles_of("mine", [one("m", "x")]) == ["mine"]
    with pytest.raises(SaliencyError, match="2 titles for 1 maps"):
        titles_of(["a", "b"], [one("m", "x")])


def test_tokens_that_share_characters_are_summed() -> None:
    heat = of_spans("👍 ok", (0, 1), (0, 1), (2, 4))
    one = separate(heat)
    assert one.labels == ("👍", "ok")
    assert one.scores.tolist() == [[pytest.approx(heat.scores[0, :2].sum()), heat.scores[0, 2]]]
    assert facet(heat).pieces == [("👍", 0), (" ", None), ("ok", 1)]
    assert separate(HEAT) is HEAT


def test_the_same_tokens_stay_and_others_are_aligned() -> None:
    assert comparable([HEAT, HEAT]) == [HEAT, HEAT]
    pieces = saliency_map(SENTENCE, split=r"\S{1,4}")
    assert comparable([HEAT, pieces]) == hs.aligned([HEAT, pieces])


def test_a_text_reads_as_it_is_in_any_script() -> None:
    for text in ("שלום עולם", "日本語 text", "مرحبا بالعالم", "a\u0301b c", "👩🏽‍💻 ok", "a\nb  c\t$x$ <b>"):
        pieces = facet(saliency_map(text)).pieces
        assert "".join(piece for piece, _ in pieces).replace("    ", "\t") == text


def test_scores_without_a_color_go_by_name() -> None:
    heat = with_scores(saliency_map("a b c d", targets=[0], signed=True), [[np.nan, np.inf, -np.inf, 1.0]])
    assert facet(heat).heat == [["NaN", "∞", "−∞", 1]]
    assert [shade(v) for v in facet(heat).heat[0]] == ["missing", "missing", "missing", "p64"]
    assert (shade(-0.001), shade(-1.0), shade(0.0), shade(7.0)) == ("p0", "n64", "p0", "p64")


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (7, {}, r"page\(maps\) takes a SaliencyMap or a list of them, not the int 7"),
        ([], {}, "takes a SaliencyMap"),
        (HEAT, {"targets": "Paris"}, "no target is at the word"),
        (HEAT, {"normalize": "column"}, "normalize='column'"),
        (HEAT, {"provenance": "all"}, "choose 'map', 'recipe' or 'none'"),
        (HEAT, {"title": ["a", "b"]}, "2 titles for 1 maps"),
        (with_scores(HEAT, -HEAT.scores), {}, "is marked as unsigned, but has scores below 0"),
        (SaliencyMap(("a",), (), (), np.zeros((0, 0)), "m"), {}, "has no target"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_what_cannot_be_shown_is_refused(given: Any, options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SaliencyError, match=message):
        written(tmp_path, given, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaliencyError, match=r"cannot write '.*none/page.html': No such file"):
        hs.page(HEAT, tmp_path / "none" / "page.html")
    with pytest.raises(SaliencyError, match="cannot write"):
        hs.page(HEAT, "a\0b")


def test_without_textualheatmap_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def distribution(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    module.assets.cache_clear()
    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    with pytest.raises(SaliencyError, match=r"pip install 'hf-saliency\[textualheatmap\]'"):
        written(tmp_path)


def test_all_tokens_of_a_target_are_its_own(tmp_path: Path) -> None:
    (group,) = content(written(tmp_path, pair()))["groups"]
    (row,) = group["rows"][0]
    assert (row["unit"], row["own"]) == (2, [2, 3])
    assert facet(pair()).strongest(0) == [("two", "0.50"), ("one", "0.25")]
    (alone,) = content(written(tmp_path, saliency_map("a b", targets=[0])))["groups"][0]["rows"][0]
    assert "own" not in alone


def test_a_value_is_called_a_value(tmp_path: Path) -> None:
    row = TargetRow("similarity", None, 0.734, unit="value")
    ((found,),) = content(written(tmp_path, pair(targets=(row,))))["groups"][0]["rows"]
    assert (found["label"], found["about"]) == ("similarity", "value 0.73")


def test_a_target_without_a_score_or_predictions(tmp_path: Path) -> None:
    rows = (TargetRow("class", None, float("nan")),)
    heat = SaliencyMap(HEAT.texts, HEAT.tokens, rows, HEAT.scores[:1], "m")
    (group,) = content(written(tmp_path, heat))["groups"]
    (row,) = group["rows"][0]
    assert (row["unit"], row["free"], row["about"], row["predictions"]) == (None, 0, "", [])
    assert len(row["heat"]) == 35


def test_a_page_is_a_path_once_it_has_a_file(tmp_path: Path) -> None:
    page = hs.page(HEAT)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SaliencyError, match="has no file yet"):
        os.fspath(page)
    path = tmp_path / "page.html"
    saved = page.save(path)
    assert Path(saved) == path
    assert path.read_text("utf-8") == page.html == hs.page(HEAT, path).html


def test_a_fragment_is_one_sandboxed_frame() -> None:
    page = hs.page(HEAT, title="</iframe><script>alert(1)</script>")
    fragment = page.fragment()
    assert fragment == page._repr_html_()
    assert re.fullmatch(
        r'<iframe title="Saliency map" sandbox="allow-scripts" srcdoc="[^"]*" style="[^"]*">[^<]*</iframe>',
        fragment,
    )
    (inside,) = re.findall('srcdoc="([^"]*)"', fragment)
    assert markup.unescape(inside) == page.embedded
    assert KEY not in re.findall('id="([^"]*)"', page.embedded)  # it does not carry the maps
    assert "<h1" not in page.embedded


def test_texts_have_their_names() -> None:
    pieces = facet(pair()).pieces
    assert "".join(text for text, _ in pieces) == "question: one two\ncontext: six ten"
    assert [text for text, unit in pieces if unit is not None] == ["one", "two", "six", "ten"]


def test_a_failed_completeness_check_is_said() -> None:
    heat = saliency_map("the formal study", signed=True, method="integrated_gradients")
    count = len(heat.targets)
    failed = dataclasses.replace(
        heat,
        convergence_delta=np.array([4.0] + [0.0] * (count - 1)),
        missed_sums=np.array([10.0] + [np.nan] * (count - 1)),
    )
    html = hs.page([heat, failed], title=["complete", "failed"]).html
    assert (
        f"failed: 1 of {count} targets do not add up; &#x27;{heat.targets[0].label}&#x27; misses 10 by 4"
        in html
    )
    assert "complete: " not in html
    assert "does not add up: misses 10 by 4" in html

"""Documentation pages: snippets run, the table of methods is complete, and other tools' numbers are reproduced."""

from __future__ import annotations

import functools
import pickle
import re
import runpy
import sys
from email.message import Message
from pathlib import Path
from typing import Any

import captum.attr
import numpy as np
import pypdf
import pytest
import replicas
import tiny
import torch

import hf_saliency as hs
from hf_saliency.attribution.registry import METHODS
from hf_saliency.maps.wording import METHOD_NAMES, method_name

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


# Pages whose snippets run. Snippets of other libraries are marked py instead of python. Notebooks run with the site.
PAGES = [
    "README.md",
    "docs/faq.md",
    "docs/figures.md",
    "docs/getting_started.md",
    "docs/index.md",
    "docs/methods.md",
    "docs/page.md",
    *sorted(
        path.relative_to(ROOT).as_posix()
        for folder in ("coming_from", "concepts", "how_to")
        for path in (ROOT / "docs" / folder).glob("*.md")
        if path.name not in ("index.md", "glossary.md")
    ),
]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.filterwarnings("ignore:.*do not add up:RuntimeWarning")
def test_snippets_run_one_after_the_other(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"^```python\n(.*?)^```", page(name), flags=re.DOTALL | re.MULTILINE)
    assert snippets
    labels = {0: "entailment", 1: "contradiction"}
    names: dict[str, Any] = {  # names that the snippets of a page may use
        "causal_lm": tiny.of_class("GPT2LMHeadModel"),
        "classifier": tiny.of_class("BertForSequenceClassification", id2label=labels),
        "tokenizer": tiny.tokenizer(),
        "name": str(Path(hs.__file__).parent / "demo"),  # the folder of a model
    }
    for snippet in snippets:
        exec(compile(snippet, name, "exec"), names)


def headings(text: str) -> set[str]:
    """Return the anchors of a page, formed as GitHub and the site form them."""
    lines = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_errors_point_to_headings_that_are_there() -> None:
    sources = "".join(path.read_text("utf-8") for path in sorted((ROOT / "hf_saliency").rglob("*.py")))
    pages = set(re.findall(r"\bpage ?= ?\"([\w/]+)#([\w-]+)\"", sources))
    assert len(pages) >= 10
    for name, anchor in pages:
        assert anchor in headings(page(f"docs/{name}.md")), f"{name}#{anchor}"


def test_an_error_names_the_site_if_the_distribution_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(hs.SaliencyError("No.", page="models#loading")) == "No. See docs/models.md#loading"
    distribution = Message()
    distribution["Project-URL"] = "Documentation, https://example.org/site/"
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: distribution)
    error = hs.SaliencyError("No.", page="models#loading")
    assert str(error) == "No. See https://example.org/site/models.html#loading"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page(name)):
        assert (ROOT / path).exists(), path
        assert not anchor or anchor in headings(page(path or name)), f"{path}#{anchor}"


def test_the_package_index_shows_absolute_addresses() -> None:
    build = runpy.run_path(str(ROOT / "hatch_build.py"))
    repository = "https://github.com/Owner/hf-saliency"
    shown = build["absolute"](page("README.md"), repository, "1.2.3")
    targets = re.findall(r"\]\(([^)]*)\)", shown)
    assert len(targets) > 10
    assert all(target.startswith("https://") for target in targets)
    assert f"]({repository}/raw/v1.2.3/docs/figures/gallery/overview.png)" in shown
    assert f"]({repository}/blob/v1.2.3/docs/getting_started.md)" in shown
    assert build["addresses"](repository)["Documentation"] == "https://owner.github.io/hf-saliency"


def test_workflows_call_what_make_has() -> None:
    rules = set(re.findall(r"^([\w./-]+):", page("Makefile"), flags=re.MULTILINE))
    texts = [path.read_text("utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    calls = re.findall(r"\bmake ([\w-]+)", "\n".join([*texts, page("CONTRIBUTING.md")]))
    for words in re.findall(r"^make (.+)$", page(".ci/run"), flags=re.MULTILINE):
        calls += [word for word in words.split() if not word.startswith("-")]
    assert len(calls) > 8
    assert set(calls) <= rules
    # Each workflow installs PyTorch; on Linux, the package index alone would install it with CUDA.
    assert all("\n  PIP_EXTRA_INDEX_URL: https://download.pytorch.org/whl/cpu\n" in text for text in texts)


def test_every_method_has_a_name_for_figures() -> None:
    assert list(METHOD_NAMES)[: len(METHODS)] == list(METHODS)
    assert not any("_" in name for name in METHOD_NAMES.values())
    assert method_name("attn_lrp − integrated_gradients") == "AttnLRP − integrated gradients"
    assert method_name("my_probe") == "my probe"


def test_the_table_of_methods_is_that_of_the_code() -> None:
    begin, end = "<!-- table of methods: begin -->", "<!-- table of methods: end -->"
    table = page("docs/methods.md").split(begin)[1].split(end)[0]
    lines = re.findall(r"^\| `(\w+)` \|(.*)\|$", table, flags=re.MULTILINE)
    found = {name: [cell.strip() for cell in rest.split("|")] for name, rest in lines}
    assert list(found) == list(METHODS)
    for name, (sign, unit, forward, backward, seconds, citation) in found.items():
        method = METHODS[name]()
        assert sign == ("signed" if method.signed else "unsigned")
        assert unit == method.unit
        assert citation == (method.citation or "-")
        passes = int(forward.replace(",", "")), int(backward.replace(",", ""))
        if method.passes is not None:
            assert passes == method.passes(36)
        assert float(seconds) > 0


def test_six_methods_in_one_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = str(ROOT / "examples/compare_methods.py")
    monkeypatch.setattr(sys, "argv", [example, "--output", str(tmp_path)])
    names = runpy.run_path(example, run_name="__main__")
    assert {path.name for path in tmp_path.iterdir()} == {"compare_methods.pdf", "compare_methods.png"}
    printed = capsys.readouterr().out.splitlines()
    assert [line[:30].strip() for line in printed] == list(names["methods"]())
    (page,) = pypdf.PdfReader(tmp_path / "compare_methods.pdf").pages
    assert float(page.mediabox.width) == pytest.approx(6.75 * 72)
    assert page.extract_text().count("hospital") >= 6


# Results of other tools, computed by hand


TEXT, WORD, FOIL = "the cat learned it !", "cat", "dog"


def logit(embeds: torch.Tensor, word: str = WORD) -> torch.Tensor:
    model, tokenizer = tiny.masked_lm("bert")
    return replicas.scalar(model, seen(), 2, tokenizer.convert_tokens_to_ids(word))(embeds)


def probability(embeds: torch.Tensor) -> torch.Tensor:
    model, tokenizer = tiny.masked_lm("bert")
    logits = [replicas.scalar(model, seen(), 2, i)(embeds) for i in range(48)]
    return torch.stack(logits).softmax(0)[tokenizer.convert_tokens_to_ids(WORD)]


def seen() -> list[int]:
    _, tokenizer = tiny.masked_lm("bert")
    ids = tokenizer(TEXT)["input_ids"]
    return [*ids[:2], tokenizer.mask_token_id, *ids[3:]]


def share(values: np.ndarray) -> np.ndarray:
    return values / np.abs(values).sum()


@functools.cache
def by_hand() -> dict[str, np.ndarray]:
    model, tokenizer = tiny.masked_lm("bert")
    table = model.get_input_embeddings().weight.detach()
    e = table[seen()]
    y = replicas.gradient(logit, e).numpy()
    p = replicas.gradient(probability, e).numpy()
    against = replicas.gradient(lambda e: logit(e) - logit(e, FOIL), e).numpy()
    one_hot = y @ table.numpy().T
    embeds = e.numpy()
    pads = e.clone()
    pads[[1, 3, 4, 5, 6]] = table[tokenizer.pad_token_id]
    integrated = replicas.integrated_gradients(logit, e, pads, 50).sum(-1).numpy()
    norm = np.linalg.norm
    return {
        "Madsen (2019), the article": norm(one_hot, axis=1) / norm(one_hot, axis=1).max(),
        "Madsen, ROAR and FMM": norm(one_hot, axis=1),
        "Madsen, FMM, order 1": np.abs(one_hot).sum(1),
        "LIT, gradient norm": share(norm(y, axis=1)),
        "LIT, gradient dot input": share((embeds * y).sum(1)),
        "ecco, `gradient`": share(norm(p, axis=1)),
        "ecco, `grad_x_input`": share(norm(embeds * p, axis=1)),
        "inseq, `saliency`": share(norm(np.abs(p), axis=1)),
        "inseq, `input_x_gradient`": share(norm(embeds * p, axis=1)),
        "ferret, `Gradient`": share(np.abs(y).sum(1)),
        "ferret, `Gradient (x Input)`": share((embeds * y).sum(1)),
        "interpreto, `Saliency`": np.abs(embeds * y).mean(1),
        "interpret-lm (Yin and Neubig, 2022)": np.abs(against).sum(1),
        "Captum, `Saliency`": np.abs(y),
        "Captum, `Saliency`, summed": np.abs(y).sum(1),
        "Captum's BERT tutorials": integrated,
    }


def calls() -> dict[str, str]:
    rows = re.findall(r"^\| ([^|]+) \|.*\| `([^|`]+)` \|$", page("docs/saliency.md"), flags=re.MULTILINE)
    return dict(rows)


def test_every_tool_of_the_page_is_checked() -> None:
    assert list(calls()) == list(by_hand())


@pytest.mark.parametrize("tool", by_hand())
def test_what_other_tools_call_saliency(tool: str) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    explainer = hs.Explainer(model, tokenizer, progress=False)
    score, arguments = explainer.captum(TEXT, target=hs.MaskedToken(WORD))
    names = {"hs": hs, "captum": captum, "model": model, "explainer": explainer, "text": TEXT}
    found = eval(calls()[tool], {**names, "word": WORD, "foil": FOIL, "score": score, "arguments": arguments})
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    expected: np.ndarray = by_hand()[tool]
    # Captum computes the weights of integrated gradients in float32.
    tolerance = 1e-7 if "tutorials" in tool else 1e-10
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=tolerance * np.abs(expected).max())

"""The example of word senses: its data can be parsed, it learns, and its explanations are correct and named."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch
from torch import nn

import hf_saliency as hs

EXAMPLES = Path(__file__).parents[2] / "examples"
DATA = EXAMPLES / "data"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module here
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data() -> ModuleType:
    return load("sense_data")


@pytest.fixture(scope="module")
def example(data: ModuleType) -> ModuleType:
    return load("sense_probe")  # sense_probe imports sense_data


@pytest.fixture(scope="module")
def senses(data: ModuleType) -> Any:
    return data.Senses()


def test_the_extract(senses: Any) -> None:
    assert len(senses.senses) == len(senses.held_out) == len(set(senses.names)) - 1 == 456
    for i, sense in enumerate(senses.senses, start=1):
        assert sense.name.startswith(f"{sense.word} (")
        assert sense.definition
        assert len(sense.examples) >= 3
        assert i in senses.rivals(i)
        assert len(senses.rivals(i)) >= 2
        assert senses.most_frequent(i) in senses.rivals(i)
    assert not {one.text for one in senses.held_out} & {one.text for one in senses.training}
    assert all(one.text[one.start : one.end].isalpha() for one in senses.held_out)


def test_the_licence_of_the_extract_is_beside_it() -> None:
    text = (DATA / "WORDNET-LICENSE").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in text
    assert "without fee or" in text
    assert "WORDNET-LICENSE" in (DATA / "README.md").read_text(encoding="utf-8")


FILES = {
    "data.noun": (
        "  1 The licence.  \n  2 \n"
        '00000001 06 n 02 bank 0 brink 0 001 @ 00000003 n 0000 | a slope; "on the bank"; "Banks were wet"; "a bank"\n'
        '00000002 14 n 01 bank 1 000 | a house (for money); "in the bank"; "two banks"; "my bank"; "the shop"\n'
        '00000003 06 n 01 place 0 000 | where; "a place"; "the places"; "our place"\n'
    ),
    "data.verb": '00000009 38 v 01 go 0 000 01 + 02 00 | move; "he went"; "gone"; "go"\n',
    "index.noun": "bank n 2 0 2 1 00000002 00000001  \nplace n 1 0 1 0 00000003  \n",
    "index.verb": "go v 1 0 1 1 00000009  \n",
    "verb.exc": "went go\ngone go\n",
    "cntlist.rev": "bank%1:14:01:: 1 20\nbank%1:06:00:: 2 7\n",
}


def test_the_extract_is_made_from_the_files_of_wordnet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extract = load("sense_extract")
    for part in extract.FILES.values():
        for name in (f"data.{part}", f"index.{part}", f"{part}.exc", "cntlist.rev"):
            (tmp_path / name).write_text(FILES.get(name, ""), encoding="utf-8")
    extract.main(tmp_path, tmp_path)
    assert capsys.readouterr().out == "2 senses of 1 words\n"
    _, first, second = (tmp_path / "wordnet_senses.tsv").read_text(encoding="utf-8").splitlines()
    assert first.split("\t") == [
        *("bank (brink)", "bank", "n00000001", "7", "a slope"),
        "on the *bank*|*Banks* were wet|a *bank*",
    ]
    assert second.split("\t") == [
        *("bank (a house)", "bank", "n00000002", "20", "a house (for money)"),
        "in the *bank*|two *banks*|my *bank*",
    ]
    assert (tmp_path / "WORDNET-LICENSE").read_text(encoding="utf-8") == "The licence.\n\n"
    assert extract.irregular(tmp_path)["v", "go"] == {"went", "gone"}


def test_labels_of_tokens(data: ModuleType, senses: Any) -> None:
    _, tokenizer = hs.load_demo()
    work = senses.names.index("work (product)")
    one = data.Example.of("the cold *works*, then", work)
    ((batch, place),) = data.encode(tokenizer, [one], {"cold", "works", "then"})
    labels = batch["sense_labels"][0].tolist()
    assert labels == [0, 0, data.UNKNOWN, work, 0, data.UNKNOWN, 0]
    assert place == 3


def test_it_learns_and_is_explained_by_names(
    example: ModuleType, senses: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model, tokenizer = hs.load_demo()
    probe = example.SenseProbe(model.base_model, senses.names)
    table = probe.encoder.get_input_embeddings().weight.clone()
    some = example.encode(tokenizer, senses.training[:64], senses.words)
    monkeypatch.setattr(example, "BATCH", 16)
    example.start(probe, some)
    losses = example.train(probe, [batch for batch, _ in some], 12)
    assert np.mean(losses[-2:]) < 0.9 * np.mean(losses[:2])
    assert torch.equal(probe.encoder.get_input_embeddings().weight, table)
    explainer = example.explainer_of(probe, tokenizer)
    heat = explainer("The pump will work.", target=hs.TokenLabel())
    assert len(heat.targets) == 5
    with pytest.raises(hs.SaliencyError, match=r"hs\.TokenLabel\(\) for labels of tokens"):
        explainer("The pump will work.")
    for target in heat.targets:
        assert [senses.names[one.class_id] for one in target.predictions] == [
            one.label for one in target.predictions
        ]
        assert len(target.predictions) == 3
        assert target.label.endswith(f": {target.predictions[0].label}")
    example.draw(explainer, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".pdf", ".png", ".html"}
    assert "active (not inactive)" in (tmp_path / "sense_probe.html").read_text(encoding="utf-8")
    found = example.accuracy(probe, example.encode(tokenizer, senses.held_out[:3], senses.words), senses)
    assert all(0 <= share <= 1 for share in found.values())


def test_its_connectivity_is_that_of_dense_one_hot_inputs(example: ModuleType) -> None:
    names = ["none", "sat (rest)", "sat (serve)", "mat (rug)"]
    probe = example.SenseProbe(tiny.of_class("BertModel", pad_token_id=0), names).double().eval()
    tokenizer = tiny.tokenizer()
    explainer = example.explainer_of(probe, tokenizer)
    text, table = "the cat sat on a mat", probe.encoder.get_input_embeddings()
    ids = tokenizer(text)["input_ids"]
    given = torch.tensor([ids])

    def logits() -> torch.Tensor:
        return probe(given, torch.ones_like(given), torch.zeros_like(given))["logits"][0]

    targets = {"predicted": hs.TokenLabel(), "against": hs.TokenLabel(label=names[1], against=names[2])}
    for kind, target in targets.items():
        heat = explainer(text, target=target)
        for row, one in zip(heat.scores, heat.targets, strict=True):

            def score(at: int = one.position, kind: str = kind) -> torch.Tensor:
                here = logits()[at]
                return here.max() if kind == "predicted" else here[1] - here[2]

            assert one.label.partition(": ")[2] == (
                names[1] if kind == "against" else names[int(logits()[one.position].argmax())]
            )
            assert one.score == pytest.approx(score().item(), rel=1e-10)
            np.testing.assert_allclose(row, reference.dense([(table, ids)], score), rtol=1e-10)
            assert (row > 0).all()


def test_labels_change_the_loss_alone(example: ModuleType) -> None:
    probe = example.SenseProbe(tiny.of_class("BertModel", pad_token_id=0), ["none", "one", "two"]).double()
    given = torch.tensor([[2, 7, 8, 3]])
    with pytest.raises(TypeError, match="sense_labels"):
        probe(given, torch.ones_like(given))
    probe.eval()
    first, second = (probe(given, torch.ones_like(given), torch.full_like(given, i)) for i in (0, 1))
    assert torch.equal(first["logits"], second["logits"])
    assert not torch.equal(first["loss"], second["loss"])
    assert isinstance(probe.head, nn.Linear)

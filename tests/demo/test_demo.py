"""The bundled model: it loads offline and without messages, and agrees with its card."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import hf_saliency.demo as demo
from hf_saliency import SaliencyError, load_demo

CARD = (Path(demo.__file__).parent / "README.md").read_text(encoding="utf-8")

# This runs in a separate process, so that the model cannot load through an open socket of the test runner.
LOAD = """
import random, socket, torch
def refuse(*args, **kwargs): raise AssertionError("the network was asked for")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
from hf_saliency import load_demo
before = torch.random.get_rng_state()
model, tokenizer = load_demo()
assert torch.equal(before, torch.random.get_rng_state()), "the random number generator moved"
ids = tokenizer("A cat sat.", return_tensors="pt")
assert model(**ids).logits.isfinite().all()
"""


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any]:
    return load_demo()


def top3(loaded: tuple[Any, Any], ids: torch.Tensor, position: int) -> list[int]:
    with torch.no_grad():
        return loaded[0](input_ids=ids).logits[0, position].topk(3).indices.tolist()


def test_is_what_the_card_says(loaded):
    model, tokenizer = loaded
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.config.dtype == torch.float32
    assert not model.training
    assert not any(module.training for module in model.modules())
    assert model.config.name_or_path == "hf_saliency.demo"
    assert "6 layers, width 384, 12 heads, 12,000 word pieces, 512 positions; 15.6 M parameters" in CARD
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (6, 384, 12)
    assert (config.vocab_size, len(tokenizer), tokenizer.model_max_length) == (12_000, 12_000, 512)
    # The card rounds the number of parameters.
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(15.6e6, abs=0.05e6)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_weights_are_the_file(loaded):
    from safetensors.torch import load_file

    weights = load_file(Path(demo.__file__).parent / "model.safetensors")
    state = loaded[0].state_dict()
    assert set(state) - set(weights) == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    assert all(torch.equal(state[name], value.float()) for name, value in weights.items())
    assert torch.equal(state["cls.predictions.decoder.bias"], weights["cls.predictions.bias"].float())


@pytest.mark.parametrize("name", ["float64", "float32"])
def test_default_dtype_does_not_matter(name):
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, name))
    try:
        model, _ = load_demo()
    finally:
        torch.set_default_dtype(before)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("sentence", ["Paris is the capital of [MASK].", "She poured a cup of hot [MASK]."])
def test_predictions_of_the_card(loaded, sentence):
    _, tokenizer = loaded
    stated = re.search(re.escape(f'"{sentence}"') + r" gives (\w+), (\w+), (\w+)", CARD)
    assert stated is not None
    ids = tokenizer(sentence, return_tensors="pt").input_ids
    position = ids[0].tolist().index(tokenizer.mask_token_id)
    assert tokenizer.convert_ids_to_tokens(top3(loaded, ids, position)) == list(stated.groups())


def test_sweep_of_the_card(loaded):
    _, tokenizer = loaded
    stated = re.search(
        r'sentence "(.+?)" the true piece is among the top 3 at (\d+) of (\d+) positions', CARD
    )
    assert stated is not None
    ids = tokenizer(stated[1], return_tensors="pt").input_ids
    positions = range(1, ids.shape[1] - 1)
    assert len(positions) == int(stated[3])
    hits = 0
    for position in positions:
        masked = ids.clone()
        masked[0, position] = tokenizer.mask_token_id
        hits += int(ids[0, position]) in top3(loaded, masked, position)
    assert hits == int(stated[2])


def test_output_is_finite(loaded):
    model, tokenizer = loaded
    batch = tokenizer(["One.", "a much longer text, padded " * 30], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits
    assert logits.shape == (2, batch.input_ids.shape[1], 12_000)
    assert logits.isfinite().all()
    assert logits.std() > 1  # an untrained head is nearly flat


def test_offsets_are_slices_of_the_text(loaded):
    _, tokenizer = loaded
    text = "The Formal study\tof  grammar—isn’t it?—needs Unmistakably long words."
    encoding = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    pieces = tokenizer.convert_ids_to_tokens(encoding["input_ids"])
    offsets = encoding["offset_mapping"]
    slices = [text[start:end].lower() for start, end in offsets]
    known = [
        (p.removeprefix("##"), s) for p, s in zip(pieces, slices, strict=True) if p != tokenizer.unk_token
    ]
    assert len(known) > 12
    assert all(piece == part for piece, part in known)
    assert any(piece.startswith("##") for piece in pieces)
    assert "".join(slices) == re.sub(r"\s", "", text).lower()


def test_offline_and_quiet_in_a_process_of_its_own():
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", LOAD],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_offline_here(monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load_demo()


def test_loading_prints_nothing(capfd):
    load_demo()
    assert capfd.readouterr() == ("", "")


def test_importing_is_light():
    code = (
        "import sys, hf_saliency.demo; print(sorted({'torch', 'transformers', 'captum'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_digests_are_those_of_the_files():
    folder = Path(demo.__file__).parent
    assert set(demo._SHA256) == {p.name for p in folder.iterdir() if p.suffix in {".json", ".safetensors"}}
    for name, digest in demo._SHA256.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    for name in demo._SHA256:
        shutil.copyfile(
            demo._FOLDER / name, tmp_path / name
        )  # without the mode: the original may be read-only
    monkeypatch.setattr(demo, "_FOLDER", tmp_path)
    load_demo()  # the copy must load before a test damages it
    return tmp_path


@pytest.mark.parametrize("name", sorted(demo._SHA256))
def test_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(SaliencyError, match=rf"{re.escape(name)} cannot be read.*Reinstall it") as info:
        load_demo()
    assert isinstance(info.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("name", sorted(demo._SHA256))
def test_damaged_file_is_named(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(SaliencyError, match=rf"{re.escape(name)} is damaged.*Reinstall it"):
        load_demo()

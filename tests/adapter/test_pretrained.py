"""Pretrained: a model by name or folder, for a task, on a device; pipelines; and errors that name a call that works."""

from __future__ import annotations

import json
import logging
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers

import hf_saliency as hs

TEXT = "the cat sat on a mat"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, tokenizer = tiny.masked_lm("bert")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_gives_what_its_model_and_tokenizer_give(folder: Path) -> None:
    explainer = hs.Explainer.from_pretrained(folder, dtype="float64", device="cpu", batch_tokens=64)
    assert explainer.batch_tokens == 64
    expected = hs.Explainer(*tiny.masked_lm("bert"))(TEXT)
    np.testing.assert_allclose(explainer(TEXT).scores, expected.scores, rtol=1e-10)
    assert explainer(TEXT).provenance["weights"] == expected.provenance["weights"]


def test_every_argument_of_the_explainer_goes_to_it(folder: Path) -> None:
    explainer = hs.Explainer.from_pretrained(
        folder, device="cpu", precision="bfloat16", fast_products=True, progress=False
    )
    assert (explainer.precision, explainer.fast_products, explainer.progress) == ("bfloat16", True, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"batch_size": 8},
            "neither the explainer nor the model takes an argument 'batch_size'.*batch_tokens",
        ),
        ({"method": "saliency"}, r"argument 'method'.*explainer\(text, target=\.\.\., method=\.\.\.\)"),
        (
            {"load_in_8bit": True},
            r"quantization_config=transformers.BitsAndBytesConfig\(load_in_8bit=True\).*#quantised-weights",
        ),
        ({"load_in_4bit": True}, r"BitsAndBytesConfig\(load_in_4bit=True\)"),
        ({"torch_dtype": "bfloat16"}, "argument 'torch_dtype': use dtype="),
        ({"quiet": True}, "argument 'quiet': use progress=False"),
        ({"dtype": "float33"}, "dtype='float33': choose one of 'float32'"),
        ({"device": "gpu"}, "cannot use the device 'gpu'.*This machine has .*cpu"),
    ],
)
def test_arguments_that_nothing_takes(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        hs.Explainer.from_pretrained(folder, **options)


def test_a_model_is_no_name() -> None:
    with pytest.raises(
        hs.SaliencyError, match=r"not BertForMaskedLM; .* goes to hs.Explainer\(model, tokenizer\)"
    ):
        hs.Explainer.from_pretrained(tiny.masked_lm("bert")[0])  # type: ignore[arg-type]


def test_by_default_weights_are_in_float32(folder: Path) -> None:
    assert next(hs.Explainer.from_pretrained(folder).text_model.model.parameters()).dtype == torch.float32


def test_half_precision_and_a_device_map(folder: Path) -> None:
    half = hs.Explainer.from_pretrained(folder, dtype=torch.float16, device="cpu")(TEXT)
    mapped = hs.Explainer.from_pretrained(folder, dtype="float64", device_map="cpu")(TEXT)
    assert np.corrcoef(half.scores.ravel(), mapped.scores.ravel())[0, 1] > 0.999


def test_weights_in_eight_bits(tmp_path: Path) -> None:
    pytest.importorskip("optimum.quanto")
    model, tokenizer = tiny.masked_lm("bert", hidden_size=64, intermediate_size=64)
    model.float().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    whole = hs.Explainer.from_pretrained(tmp_path, device="cpu")
    config = transformers.QuantoConfig(weights="int8")
    explainer = hs.Explainer.from_pretrained(tmp_path, quantization_config=config, device_map="cpu")
    names = {type(module).__name__ for module in explainer.text_model.model.modules()}
    assert "QLinear" in names
    heat = explainer(TEXT)
    assert np.corrcoef(heat.scores.ravel(), whole(TEXT).scores.ravel())[0, 1] > 0.99
    assert heat.provenance["quantization"]
    assert heat.provenance["weights"] != whole(TEXT).provenance["weights"]
    # The gradient is that of the quantised function.
    score, arguments = explainer.captum(TEXT, target=hs.MaskedToken("cat"))
    embeds, rest = arguments["inputs"].detach(), arguments["additional_forward_args"]
    embeds.requires_grad_()
    (gradient,) = torch.autograd.grad(score(embeds, *rest).sum(), embeds)
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        rise = (score(embeds + step, *rest) - score(embeds - step, *rest)).sum() / 2
    assert float(rise) == pytest.approx(float((gradient * step).sum()), rel=0.1)


def test_quantised_weights_without_a_backward_pass_are_refused_by_name() -> None:
    model, tokenizer = tiny.masked_lm("bert")

    class Quantizer:
        is_trainable = False
        quantization_config = transformers.FbgemmFp8Config()

    model.hf_quantizer = Quantizer()
    with pytest.raises(
        hs.SaliencyError, match="are quantised by fbgemm_fp8, whose kernels have no backward pass"
    ):
        hs.Explainer(model, tokenizer)
    Quantizer.is_trainable = True
    activations = type("Int8DynamicActivationInt8WeightConfig", (), {})
    Quantizer.quantization_config.quant_type = activations()
    with pytest.raises(hs.SaliencyError, match="whose kernels have no backward pass"):
        hs.Explainer(model, tokenizer)
    del Quantizer.quantization_config.quant_type
    Quantizer.is_trainable = False
    Quantizer.quantization_config.dequantize = True
    assert hs.Explainer(model, tokenizer)(TEXT).scores.any()


def test_progress_bars_and_logs_of_others_stay_as_their_user_set_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars, client = transformers.utils.logging, logging.getLogger("huggingface_hub")
    before = bars.is_progress_bar_enabled(), bars.get_verbosity(), client.level
    try:
        bars.enable_progress_bar()
        hs.Explainer.from_pretrained(folder, device="cpu", progress=False)
        assert capsys.readouterr().err == ""
        with pytest.raises(hs.SaliencyError):
            hs.Explainer.from_pretrained(folder, task="text-classification", progress=False)
        assert bars.is_progress_bar_enabled()
        hs.Explainer.from_pretrained(folder, device="cpu")
        assert "Loading weights" in capsys.readouterr().err
        bars.disable_progress_bar()
        hs.Explainer.from_pretrained(folder, device="cpu")
        assert not bars.is_progress_bar_enabled()
        assert capsys.readouterr().err == ""
        assert (bars.get_verbosity(), client.level) == before[1:]
    finally:
        (bars.enable_progress_bar if before[0] else bars.disable_progress_bar)()


def test_what_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="hf_saliency"):
        hs.Explainer.from_pretrained(folder, device="cpu", progress=False)([TEXT, "a dog"])
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("hf_saliency.")]
    assert re.match(r"loaded BertForMaskedLM and \w+ from .*names the head", lines[0])
    assert "the model is on cpu" in lines
    assert any(line.startswith("BertForMaskedLM reads up to 36 tokens through Embedding") for line in lines)
    assert "8 targets by gradient_norm, up to 1024 tokens a batch" in lines
    assert any(line.startswith("a batch of 8 targets, 8 tokens each") for line in lines)


def test_a_task_takes_its_head(folder: Path) -> None:
    model = hs.Explainer.from_pretrained(folder, task="feature-extraction", device="cpu").text_model.model
    assert type(model).__name__ == "BertModel"
    with pytest.raises(hs.SaliencyError, match="is a BertForMaskedLM, which fills masks.*omit task="):
        hs.Explainer.from_pretrained(folder, task="text-classification")
    with pytest.raises(hs.SaliencyError, match="task='fill-masks': choose one of .*did you mean 'fill-mask'"):
        hs.Explainer.from_pretrained(folder, task="fill-masks")


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(hs.SaliencyError, match=r"there is no folder '\./nothing'"):
        hs.Explainer.from_pretrained("./nothing")


def test_code_of_a_model_is_not_run(folder: Path) -> None:
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Config", "AutoModelForMaskedLM": "own.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(hs.SaliencyError, match="holds Python code of its own.*trust_remote_code=True"):
        hs.Explainer.from_pretrained(folder)


def test_a_pipeline(folder: Path) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline: Any = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)
    np.testing.assert_array_equal(
        hs.Explainer(pipeline)(TEXT).scores, hs.Explainer(model, tokenizer)(TEXT).scores
    )

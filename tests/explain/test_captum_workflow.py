"""The example for Captum in both directions, and the snippets and statements of docs/captum.md."""

from __future__ import annotations

import inspect
import re
import runpy
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import captum.attr
import matplotlib
import pytest
import tiny
import torch
from captum.concept import TCAV, Concept
from matplotlib import pyplot
from torch import Tensor, nn

import hf_saliency as hs

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/captum.md").read_text("utf-8")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*did not already require gradients:UserWarning"),  # sensitivity_max
    pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks:UserWarning"),
]


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


def test_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = str(ROOT / "examples/captum_workflow.py")
    monkeypatch.setattr(sys, "argv", [example, "--output", str(tmp_path / "made")])
    runpy.run_path(example, run_name="__main__")
    files = {path.name: path.stat().st_size for path in (tmp_path / "made").iterdir()}
    assert set(files) == {
        "integrated_gradients.png",
        "visualize_text.html",
        "plot_token_attr.png",
        "gpt2_plot_token_attr.png",
    }
    assert min(files.values()) > 2000
    page = (tmp_path / "made/visualize_text.html").read_text("utf-8")
    assert page.count("<mark") == 2 * 11
    printed = capsys.readouterr().out
    numbers = {line[:24].strip(): re.findall(r"\d+\.\d+(?:e[-+]\d+)?", line) for line in printed.splitlines()}
    assert float(numbers["integrated gradients"][0]) < 0.02
    # Two ways to compute one number in float32: sums of 384 products below 10, each with an eps of 1.2e-7.
    for same in ("at the layer", "method=class", "method=instance"):
        assert float(numbers[same][0]) < 1e-5
    for measured in ("noisy gradient norm", "infidelity", "sensitivity"):
        low, high = map(float, numbers[measured])
        assert low > 0
        assert 0 < high < 1000
    assert "['is', 'an', 'important', 'part'] after ['the', 'study', 'of', 'grammar']" in printed


def test_the_snippets_of_the_document_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(snippets) > 10
    names: dict[str, Any] = {}
    for snippet in snippets:
        exec(compile(snippet, "docs/captum.md", "exec"), names)
    assert (tmp_path / "captum.pdf").stat().st_size > 2000
    assert tuple(names["result"].token_attr.shape) == (4, 4)


NAMES = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \| `(\w+)` \| (.*) \|$", DOCUMENT, re.MULTILINE)


def test_the_table_of_names_is_there() -> None:
    assert len(NAMES) == 11


@pytest.mark.parametrize(("method", "here", "name", "there", "differs"), NAMES)
def test_a_name_here_and_in_captum(method: str, here: str, name: str, there: str, differs: str) -> None:
    ours = inspect.signature(getattr(hs, method)).parameters[here]
    theirs = inspect.signature(getattr(captum.attr, name).attribute).parameters[there]
    by_default = re.match(r"(\d+) by default, Captum's are (\d+)", differs)
    assert by_default or here != there
    if by_default:
        assert [str(ours.default), str(theirs.default)] == list(by_default.groups())


# The table of what does not work


def score() -> tuple[Any, dict[str, Any], nn.Module]:
    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    found, arguments = explainer.captum("the cat learned it !", target=hs.MaskedToken(["cat", "it"]))
    return found, arguments, explainer.text_model.model


def of(cls: type, *more: Any) -> Tensor:
    forward, arguments, _ = score()
    found: Tensor = cls(forward, *more).attribute(**arguments).detach()
    return found


def gradient() -> Tensor:
    forward, arguments, _ = score()
    return torch.autograd.grad(
        forward(arguments["inputs"], *arguments["additional_forward_args"]).sum(), arguments["inputs"]
    )[0]


def test_classes_for_relus_give_the_gradient() -> None:
    for cls in (captum.attr.GuidedBackprop, captum.attr.Deconvolution):
        torch.testing.assert_close(of(cls), gradient(), rtol=0, atol=0)


def test_grad_cam_sums_over_tokens() -> None:
    forward, arguments, _ = score()
    cam = captum.attr.LayerGradCam(forward, forward.sites[0]).attribute(**arguments)
    assert tuple(cam.shape) == (2, 1, 16)


def test_feature_permutation_of_one_row_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, arguments, _ = score()
    monkeypatch.setattr("logging.Logger.warning", lambda *a, **k: None)  # one for each of 128 features
    extra = tuple(value[:1] for value in arguments["additional_forward_args"])
    found = captum.attr.FeaturePermutation(forward).attribute(
        arguments["inputs"][:1], additional_forward_args=extra
    )
    assert not found.any()


def test_the_embedding_module_is_no_layer_for_captum() -> None:
    forward, arguments, model = score()
    embedding = model.get_input_embeddings()
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        captum.attr.LayerGradientXActivation(forward, embedding).attribute(**arguments)
    assert not captum.attr.LayerFeatureAblation(forward, embedding).attribute(**arguments).any()


def test_an_inner_layer_needs_one_pass() -> None:
    forward, arguments, model = score()
    inner = captum.attr.LayerGradientXActivation(forward, model.bert.encoder.layer[0])
    assert inner.attribute(**arguments).abs().max() > 1e-3
    forward.batch_tokens = 8
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        inner.attribute(**arguments)
    forward.batch_tokens = None
    assert inner.attribute(**arguments).abs().max() > 1e-3


def test_neuron_classes_run_on_the_score() -> None:
    forward, arguments, model = score()
    neuron = captum.attr.NeuronGradient(forward, model.bert.encoder.layer[0])
    found = neuron.attribute(arguments["inputs"], (2, 0), arguments["additional_forward_args"])
    assert found.abs().max() > 1e-3


def test_what_captum_refuses() -> None:
    forward, arguments, model = score()
    embedding = model.get_input_embeddings()
    norm, layer_norm = hs.GradientNorm(forward, embedding), hs.LayerGradientNorm(model, embedding)
    for refusal, wrapped in (
        ("DataloaderAttribution", lambda: captum.attr.DataLoaderAttribution(norm)),
        ("LLMAttribution", lambda: captum.attr.LLMAttribution(norm, tiny.tokenizer())),
        ("LLMGradientAttribution", lambda: captum.attr.LLMGradientAttribution(layer_norm, tiny.tokenizer())),
    ):
        with pytest.raises(AssertionError, match=f"{refusal} does not support"):
            wrapped()
    with pytest.raises(TypeError, match="has no rule defined"):
        captum.attr.LRP(forward).attribute(**arguments)
    with pytest.raises(NotImplementedError):
        norm.compute_convergence_delta(None, None, None)
    for one in (norm, layer_norm, captum.attr.IntegratedGradients(forward)):
        with pytest.raises(NotImplementedError):
            one.attribute_future()
    with pytest.raises(AssertionError, match="Future"):
        captum.attr.FeatureAblation(forward).attribute_future(**arguments)
    with pytest.raises(hs.SaliencyError, match="are not token ids"):
        captum.attr.NoiseTunnel(layer_norm).attribute(torch.tensor([[2, 4, 3]]))
    with torch.inference_mode(), pytest.raises(RuntimeError, match="does not require grad"):
        captum.attr.Saliency(forward).attribute(**arguments)
    with torch.inference_mode():
        assert norm.attribute(**arguments).min() >= 0


class Reader(nn.Module):
    """A model from ids to three scores."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.head = nn.Linear(20, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embedding(ids)).flatten(1))


def test_tcav_wants_gradients_shaped_as_the_activation() -> None:
    model = Reader()

    def concept(number: int) -> Concept:
        return Concept(
            number, f"concept {number}", torch.utils.data.DataLoader(torch.randint(11, (24, 5)), batch_size=8)
        )

    def run(method: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tcav = TCAV(model, ["embedding"], layer_attr_method=method, save_path=folder)
            return tcav.interpret(torch.randint(11, (4, 5)), [[concept(0), concept(1)]], target=0)

    assert run(captum.attr.LayerGradientXActivation(model, model.embedding))
    for keepdim in (False, True):
        with pytest.raises(RuntimeError, match="Expected size"):
            run(hs.LayerGradientNorm(model, model.embedding, keepdim=keepdim))

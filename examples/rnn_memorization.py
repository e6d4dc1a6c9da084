"""What do recurrent networks remember? Connectivity of a character GRU and an LSTM, one above the other.

    python examples/rnn_memorization.py [FOLDER] [--steps 1000]

Trains both on the beginning of Newton's Opticks (one to three minutes on one thread), and draws which characters the
prediction of a character depends on into ``rnn_memorization.png`` (in ``docs/figures`` by default). The models are
plain ``torch.nn.Module``\\ s: Captum's interface and ``LayerGradientNorm`` need nothing else. Based on Madsen,
Visualizing memorization in RNNs, Distill 2019.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

import hf_saliency as hs

TEXT = Path(__file__).parent / "data" / "opticks.txt"
PASSAGE = "the rays of light which differ in colour differ also in degrees of refrangibility."
# Predicted characters: one early in a word, which depends on the context, and two late, after the word's beginning.
PLACES = {"colour": 1, "degrees": 5, "refrangibility": 7}


class CharacterModel(nn.Module):
    """Logits of the next character, from (batch, characters) to (batch, characters, classes)."""

    def __init__(self, kind: type[nn.GRU] | type[nn.LSTM], characters: int, width: int = 192) -> None:
        super().__init__()
        self.embed = nn.Embedding(characters, 48)
        self.layers = kind(48, width, batch_first=True)
        self.head = nn.Linear(width, characters)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(self.embed(ids))[0])
        return logits


@dataclass(frozen=True)
class Alphabet:
    """Characters and their ids."""

    characters: str

    def ids(self, text: str) -> Tensor:
        """Ids of a text's characters, of shape (1, characters)."""
        return torch.tensor([[self.characters.index(one) for one in text]])


def train(model: CharacterModel, ids: Tensor, steps: int, name: str) -> float:
    """Fit the next character in windows of the text; return the loss of the last steps, in nats per character."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    losses = []
    for step in tqdm(range(steps), desc=name, unit="step"):
        starts = torch.randint(ids.shape[1] - 97, (32,))
        windows = torch.stack([ids[0, start : start + 97] for start in starts.tolist()])
        logits = model(windows[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / steps)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / len(losses[-20:])


def explain(model: CharacterModel, alphabet: Alphabet, name: str) -> hs.SaliencyMap:
    """A map of the preceding characters that each chosen character's logit depends on."""
    norm = hs.LayerGradientNorm(lambda ids: model(ids)[:, -1], model.embed)
    ids = alphabet.ids(PASSAGE)
    scores, targets = torch.zeros(len(PLACES), len(PASSAGE)), []
    for row, (word, offset) in enumerate(PLACES.items()):
        place = PASSAGE.index(word) + offset
        before, true = ids[:, :place], int(ids[0, place])
        scores[row, :place] = norm.attribute(before, target=true)[0]
        with torch.no_grad():
            logits = model(before)[0, -1]
        best = logits.softmax(-1).topk(3)
        guesses = [
            hs.Prediction(alphabet.characters[i], i, p)
            for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        targets.append(hs.TargetRow(PASSAGE[place], place, logits[true].item(), predictions=tuple(guesses)))
    tokens = tuple(hs.Token(one, i, i + 1) for i, one in enumerate(PASSAGE))
    return hs.SaliencyMap(
        (PASSAGE,), tokens, tuple(targets), scores.numpy(), "gradient_norm", provenance={"model": name}
    )


def reach(heat: hs.SaliencyMap, least: int) -> float:
    """The share of connectivity in characters at least ``least`` back, averaged over the targets."""
    shares = [
        row[: target.position - least + 1].sum() / row.sum()
        for row, target in zip(heat.scores, heat.targets, strict=True)
        if target.position is not None
    ]
    return float(sum(shares) / len(shares))


def main(folder: Path, steps: int) -> None:
    """Train both, explain both, draw both."""
    torch.set_num_threads(1)
    text = " ".join(TEXT.read_text(encoding="utf-8").lower().split())
    alphabet = Alphabet("".join(sorted(set(text))))
    maps, titles = [], []
    for kind in (nn.GRU, nn.LSTM):
        torch.manual_seed(0)
        start = time.perf_counter()
        model = CharacterModel(kind, len(alphabet.characters))
        loss = train(model, alphabet.ids(text), steps, kind.__name__)
        maps.append(explain(model.eval(), alphabet, kind.__name__))
        titles.append(f"{kind.__name__} ({loss:.2f} nats a character)")
        print(
            f"{titles[-1]}: {reach(maps[-1], 8):.0%} of connectivity is 8 characters back or more; "
            f"{time.perf_counter() - start:.0f} s on one thread"
        )
    folder.mkdir(parents=True, exist_ok=True)
    figure = hs.figure(maps, mark=hs.Highlight(), width=4.75, title=titles)
    figure.savefig(folder / "rnn_memorization.png", dpi=200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/figures"))
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    main(given.folder, given.steps)

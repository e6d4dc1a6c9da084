"""Models for every task, each trained within seconds: a head on the bundled encoder, or a separate small model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import task_texts as texts
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

import hf_saliency as hs

BATCH = 16
Loss = Callable[[Random], Tensor]
ENTITIES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def train(model: nn.Module, loss: Loss, steps: int, rate: float) -> None:
    """Fit a model to random texts from a seeded generator."""
    random = Random(0)
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate)
    for step in range(steps):
        value = loss(random)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.param_groups[0]["lr"] = rate * min(1.0, 10 * (step + 1) / steps) * (1 - step / steps)
        optimizer.step()
    model.requires_grad_().eval()


def headed(name: str, frozen: int = 4, **changes: Any) -> tuple[Any, Any]:
    """A transformers model class around the bundled encoder, whose first layers are frozen."""
    bundled, tokenizer = hs.load_demo()
    torch.manual_seed(0)
    model = getattr(transformers, name)(transformers.BertConfig(**{**bundled.config.to_dict(), **changes}))
    model.float().bert.load_state_dict(bundled.bert.state_dict(), strict=False)
    model.config.name_or_path = "the bundled encoder"
    model.bert.embeddings.requires_grad_(False)
    model.bert.encoder.layer[:frozen].requires_grad_(False)
    return model, tokenizer


def classifier(steps: int = 120) -> tuple[Any, Any]:
    """A classifier: was the dish liked?"""
    model, tokenizer = headed("BertForSequenceClassification", 2, id2label={0: "disliked", 1: "liked"})

    def loss(random: Random) -> Tensor:
        said, labels = zip(*(texts.review(random) for _ in range(BATCH)), strict=True)
        given = tokenizer(list(said), padding=True, return_tensors="pt")
        return model(**given, labels=torch.tensor(labels)).loss

    train(model, loss, steps, 2e-4)
    return model, tokenizer


def tagger(steps: int = 60) -> tuple[Any, Any]:
    """A token classifier for names of people and of places."""
    model, tokenizer = headed("BertForTokenClassification", id2label=dict(enumerate(ENTITIES)))

    def loss(random: Random) -> Tensor:
        said, tags = zip(*(texts.names(random) for _ in range(BATCH)), strict=True)
        given = tokenizer(
            [one.split() for one in said], is_split_into_words=True, padding=True, return_tensors="pt"
        )
        labels = []
        for i, own in enumerate(tags):
            words = given.word_ids(i)
            pieces = [  # the later pieces of a name get an I- label
                "" if word is None else own[word] if word != before else own[word].replace("B-", "I-")
                for before, word in itertools.pairwise([None, *words])
            ]
            labels.append([ENTITIES.index(one) if one else -100 for one in pieces])
        return model(**given, labels=torch.tensor(labels)).loss

    train(model, loss, steps, 5e-4)
    return model, tokenizer


def answerer(steps: int = 120) -> tuple[Any, Any]:
    """A model that answers questions with who, where and when."""
    model, tokenizer = headed("BertForQuestionAnswering")

    def loss(random: Random) -> Tensor:
        asked, contexts, answers = zip(*(texts.question(random) for _ in range(BATCH)), strict=True)
        given = tokenizer(list(asked), list(contexts), padding=True, return_tensors="pt")
        ends = [
            (
                given.char_to_token(i, context.index(answer), 1),
                given.char_to_token(i, context.index(answer) + len(answer) - 1, 1),
            )
            for i, (context, answer) in enumerate(zip(contexts, answers, strict=True))
        ]
        start, end = torch.tensor(ends).T
        return model(**given, start_positions=start, end_positions=end).loss

    train(model, loss, steps, 5e-4)
    return model, tokenizer


def chooser(steps: int = 100) -> tuple[Any, Any]:
    """A model that chooses what a person in need does."""
    model, tokenizer = headed("BertForMultipleChoice", 2)

    def loss(random: Random) -> Tensor:
        prompts, choices, right = zip(*(texts.choice(random) for _ in range(BATCH)), strict=True)
        given = tokenizer(
            [prompt for prompt in prompts for _ in range(2)],
            [one for pair in choices for one in pair],
            padding=True,
            return_tensors="pt",
        )
        stacked = {name: one.unflatten(0, (BATCH, 2)) for name, one in given.items()}
        return model(**stacked, labels=torch.tensor(right)).loss

    train(model, loss, steps, 2e-4)
    return model, tokenizer


class Counter(nn.Module):
    """A number for each token from its state, summed over the tokens."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return {"count": (self.head(states)[..., 0] * attention_mask).sum(dim=1)}


def counter(steps: int = 60) -> tuple[Any, Any]:
    """A model that counts the animals in a sentence."""
    bundled, tokenizer = hs.load_demo()
    bundled.bert.requires_grad_(False)
    bundled.bert.encoder.layer[4:].requires_grad_()
    torch.manual_seed(0)
    model = Counter(bundled.bert)

    def loss(random: Random) -> Tensor:
        said, counts = zip(*(texts.animals(random) for _ in range(BATCH)), strict=True)
        given = tokenizer(list(said), padding=True, return_tensors="pt")
        found = model(given.input_ids, given.attention_mask)["count"]
        return nn.functional.mse_loss(found, torch.tensor(counts))

    train(model, loss, steps, 5e-4)
    return model, tokenizer


def word_tokenizer(sentences: Sequence[str]) -> Any:
    """A tokenizer of whole words, with a token at the end of a text."""
    words = sorted({word for one in sentences for word in one.split()})
    ids = {word: i for i, word in enumerate(["<pad>", "<unk>", "</s>", *words])}
    fast = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    )


def storyteller(steps: int = 600) -> tuple[Any, Any]:
    """A small GPT-2 that learns who gives the thing back."""
    random = Random(1)
    tokenizer = word_tokenizer([texts.story(random) for _ in range(500)])
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=32,
        n_embd=64,
        n_layer=2,
        n_head=4,
        eos_token_id=2,
        bos_token_id=2,
    )
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    model = transformers.GPT2LMHeadModel(config)

    def loss(random: Random) -> Tensor:
        given = tokenizer([texts.story(random) for _ in range(2 * BATCH)], return_tensors="pt")
        return model(given.input_ids, labels=given.input_ids).loss

    train(model, loss, steps, 3e-3)
    return model, tokenizer


def translator(steps: int = 600) -> tuple[Any, Any]:
    """A small BART that writes dates in numbers."""
    random = Random(1)
    tokenizer = word_tokenizer([" ".join(texts.date(random)) for _ in range(3000)])
    torch.manual_seed(0)
    config = transformers.BartConfig(
        vocab_size=len(tokenizer), d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, max_position_embeddings=32,
        dropout=0.0, pad_token_id=0, bos_token_id=2, eos_token_id=2, decoder_start_token_id=2,
        forced_eos_token_id=None,
    )  # fmt: skip
    model = transformers.BartForConditionalGeneration(config)

    def loss(random: Random) -> Tensor:
        said, numbers = zip(*(texts.date(random) for _ in range(2 * BATCH)), strict=True)
        given = tokenizer(list(said), padding=True, return_tensors="pt")
        labels = tokenizer(list(numbers), return_tensors="pt").input_ids
        return model(given.input_ids, attention_mask=given.attention_mask, labels=labels).loss

    train(model, loss, steps, 3e-3)
    return model, tokenizer

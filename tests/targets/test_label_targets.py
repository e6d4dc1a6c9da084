"""Label and TokenLabel against plain logits and dense one-hot autograd, one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch
from torch import nn

import hf_saliency as hs
from hf_saliency.targets import labels as token_label

TEXT = "the cat sat on a mat"
PAIR = ("the cat sat", "it learned music , the dog")
LABELS = {0: "contradiction", 1: "entailment", 2: "neutral"}
CLASSIFIERS = {
    "BertForSequenceClassification": {},
    "RobertaForSequenceClassification": {},
    "DebertaV2ForSequenceClassification": {},
    "GPT2ForSequenceClassification": {},
    "LlamaForSequenceClassification": {},
}
# These models compute softmax, norms or rotary positions in float32.
EXACT = {"DebertaV2ForSequenceClassification": 1e-5, "LlamaForSequenceClassification": 1e-5}


def classifier(name: str = "BertForSequenceClassification", **changes: Any) -> hs.Explainer:
    model = tiny.of_class(name, num_labels=3, id2label=LABELS, **changes)
    return hs.Explainer(model, tiny.tokenizer())


def logits(explainer: hs.Explainer, text: str, pair: str | None = None) -> torch.Tensor:
    given = explainer.text_model.tokenizer(text, pair, return_tensors="pt")
    known = explainer.text_model.known
    return explainer.text_model.model(**{k: v for k, v in given.items() if k in known}).logits[0]


def dense(explainer: hs.Explainer, index: int, text: str, pair: str | None = None) -> np.ndarray:
    ids = explainer.text_model.tokenizer(text, pair)["input_ids"]
    module = explainer.text_model.model.get_input_embeddings()
    return reference.dense([(module, ids)], lambda: logits(explainer, text, pair)[index])


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("given", [TEXT, PAIR], ids=["text", "pair"])
def test_every_label_against_dense_autograd(name: str, given: Any) -> None:
    explainer = classifier(name)
    texts = (given,) if isinstance(given, str) else given
    heat = explainer(given, target=hs.Label(all_labels=True))
    assert [row.label for row in heat.targets] == list(LABELS.values())
    assert all(row.position is None for row in heat.targets)
    expected = np.stack([dense(explainer, index, *texts) for index in range(3)])
    assert (expected > 0).all()
    np.testing.assert_allclose(heat.scores, expected, rtol=EXACT.get(name, 1e-10))
    scores = [row.score for row in heat.targets]
    np.testing.assert_allclose(scores, logits(explainer, *texts).detach(), rtol=EXACT.get(name, 1e-12))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_batched_and_padded_equal_single(name: str) -> None:
    explainer = classifier(name)
    for method in ("gradient_norm", hs.integrated_gradients(n_steps=40), "leave_one_out"):
        texts = [TEXT, "the dog", "a cat ran to the mat and it sat on it"]
        together = explainer(texts, method=method)
        for text, heat in zip(texts, together, strict=True):
            alone = explainer(text, method=method)
            assert (alone.scores != 0).any()
            np.testing.assert_allclose(heat.scores, alone.scores, rtol=EXACT.get(name, 1e-9), atol=1e-10)


@pytest.mark.parametrize("name", ["GPT2ForSequenceClassification", "LlamaForSequenceClassification"])
def test_a_classifier_without_padding_is_left_as_it_is(name: str) -> None:
    explainer = classifier(name)
    config, tokenizer = explainer.text_model.model.config, explainer.text_model.tokenizer
    before = config.to_dict()
    assert config.pad_token_id is None
    explainer([TEXT, "the dog"], method=hs.occlusion())
    assert config.to_dict() == before
    assert tokenizer.pad_token == "[PAD]"


def test_both_segments_are_in_the_map() -> None:
    explainer = classifier()
    heat = explainer(PAIR)
    assert heat.texts == PAIR
    assert heat.labels[1:5] == ("the", "cat", "sat", "[SEP]")
    words = [PAIR[token.text_index][token.start : token.end] for token in heat.tokens if not token.special]
    assert words == ["the", "cat", "sat", "it", "learn", "ed", "music", ",", "the", "dog"]
    assert [token.text_index for token in heat.tokens if not token.special] == [0] * 3 + [1] * 7


def test_the_predicted_label_and_a_contrast() -> None:
    explainer = classifier()
    values = logits(explainer, TEXT)
    (row,) = explainer(TEXT).targets
    assert row.label == LABELS[int(values.argmax())] == row.predictions[0].label
    assert row.predictions[0].probability == pytest.approx(values.softmax(-1).max().item())
    (row,) = explainer(TEXT, target=hs.Label("entailment", against=2)).targets
    assert (row.label, row.against, row.class_id) == ("entailment", "neutral", 1)
    assert row.score == pytest.approx((values[1] - values[2]).item(), rel=1e-12)
    found = explainer(TEXT, target=hs.Label(1, against="neutral"), method="input_x_gradient").scores
    each = explainer(TEXT, target=hs.Label([1, 2]), method="input_x_gradient").scores
    np.testing.assert_allclose(found[0], each[0] - each[1], atol=1e-12)


@pytest.mark.parametrize("given", [TEXT, PAIR], ids=["text", "pair"])
def test_integrated_gradients_complete_to_the_difference_of_logits(given: Any) -> None:
    explainer = classifier()
    target = hs.Label("entailment", against="neutral")
    method = hs.integrated_gradients(n_steps=300, baseline=hs.mask_embedding)
    heat = explainer(given, target=target, method=method)
    texts = [
        " ".join("[MASK]" for _ in explainer.text_model.tokenizer.tokenize(text))
        for text in ((given,) if isinstance(given, str) else given)
    ]
    values, masked = (
        logits(explainer, *((given,) if isinstance(given, str) else given)),
        logits(explainer, *texts),
    )
    difference = (values[1] - values[2]) - (masked[1] - masked[2])
    assert abs(difference) > 0.1
    assert heat.scores.sum() == pytest.approx(difference.item(), rel=1e-6)


@pytest.mark.parametrize("unit", ["prob", "log_prob"])
def test_a_multi_label_head_has_probabilities_of_its_own(unit: str) -> None:
    explainer = classifier(problem_type="multi_label_classification")
    heat = explainer(TEXT, target=hs.Label(all_labels=True, unit=unit))
    chances = logits(explainer, TEXT).sigmoid()
    expected = chances if unit == "prob" else chances.log()
    np.testing.assert_allclose([row.score for row in heat.targets], expected.detach(), rtol=1e-12)


def test_a_regression_head_has_a_value() -> None:
    model = tiny.of_class("BertForSequenceClassification", num_labels=1)
    explainer = hs.Explainer(model, tiny.tokenizer())
    heat = explainer(TEXT)
    assert heat.targets[0].unit == "value"
    assert heat.targets[0].predictions == ()
    assert heat.targets[0].probability is None
    assert heat.targets[0].score == pytest.approx(logits(explainer, TEXT).item(), rel=1e-12)
    with pytest.raises(hs.SaliencyError, match="predicts a number, which has no probability"):
        explainer(TEXT, target=hs.Label(unit="prob"))


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        (hs.Label("maybe"), TEXT, "label 'maybe' is not one .* 0: 'contradiction', 1: 'entailment'"),
        (hs.Label(3), TEXT, "label 3 is not one of the model's labels"),
        (hs.Label(True), TEXT, "label True is not one"),
        (hs.Label(against="maybe"), TEXT, "label 'maybe' is not one"),
        (hs.Label(), ("a", "b", "c"), "Label explains one text, but a tuple of 3"),
        (hs.Label(), ("the cat", ""), "the text is empty"),
        (hs.Label(0, against="contradiction"), TEXT, "against= names the very class"),
        ("entailment", TEXT, r"such as hs.Label\('entailment'\)"),
        (hs.Label, TEXT, r"such as hs.Label\(\)"),
        (hs.TokenLabel(), TEXT, r"target=hs.Label\(\), or.*AutoModelForTokenClassification.from_pretrained"),
        (hs.MaskedToken(), TEXT, "AutoModelForMaskedLM.from_pretrained"),
        (hs.NextToken(), TEXT, "AutoModelForCausalLM.from_pretrained"),
        (
            None,
            "the cat " * 40,
            r"the model reads at most 36. Pass overflow='truncate' to explain its beginning\. See docs",
        ),
    ],
)
def test_what_a_classifier_has_not(target: Any, given: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        classifier()(given, target=target)


def test_a_contrast_with_the_predicted_label_warns() -> None:
    on = classifier()
    predicted = on(TEXT).targets[0].label
    with pytest.warns(UserWarning, match=f"the very class that 1 targets explain \\('{predicted}'\\)"):
        assert not on(TEXT, target=hs.Label(against=predicted)).scores.any()
    tokens = tagger()
    there = tokens(TEXT, target=hs.TokenLabel(1)).targets[0].label.split(": ")[1]
    with pytest.warns(UserWarning, match="the very class that 1 targets explain"):
        tokens(TEXT, target=hs.TokenLabel(1, against=there))


def test_two_labels_of_one_name() -> None:
    model = tiny.of_class("BertForSequenceClassification", num_labels=3, id2label={0: "a", 1: "b", 2: "a"})
    on = hs.Explainer(model, tiny.tokenizer())
    with pytest.raises(hs.SaliencyError, match="the labels 0, 2 are all called 'a': give an index"):
        on(TEXT, target=hs.Label("a"))
    assert on(TEXT, target=hs.Label(np.int64(2))).targets[0].class_id == 2


class Bare(nn.Module):
    """A classifier without a configuration."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.model = tiny.of_class(name, num_labels=3)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids, attention_mask=attention_mask).logits


@pytest.mark.filterwarnings("ignore:Bare does not read only from left to right")  # not tested here
@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        (
            "BertForSequenceClassification",
            hs.Label(3),
            "reads logit number 3, .* returns only 3 logits, numbered from 0",
        ),
        ("BertForSequenceClassification", hs.Label(1, against=9), "reads logit number 9"),
        (
            "BertForSequenceClassification",
            hs.Label(all_labels=True),
            r"give their indices, Label\(\[0, 1\]\)",
        ),
        ("BertForSequenceClassification", hs.Choice(), "Bare.forward raised"),
        ("BertForTokenClassification", hs.TokenLabel(label=5), "reads logit number 5"),
        ("BertForTokenClassification", hs.MaskedToken(), "returns only 3 logits"),
        ("BertForTokenClassification", hs.NextToken(), "returns only 3 logits"),
    ],
)
def test_classes_that_a_plain_module_has_not(name: str, target: Any, message: str) -> None:
    given: Any = (TEXT, "a", "b") if isinstance(target, hs.Choice) else TEXT
    with pytest.raises(hs.SaliencyError, match=message):
        hs.Explainer(Bare(name), tiny.tokenizer())(given, target=target)


class Number(Bare):
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return super().forward(input_ids, attention_mask)[:, 0]


def test_a_head_of_one_number_is_an_output() -> None:
    with pytest.raises(hs.SaliencyError, match=r"returned \(1,\), .*target=hs.Output\(lambda output, inputs"):
        hs.Explainer(Number("BertForSequenceClassification"), tiny.tokenizer())(TEXT, target=hs.Label())


def test_a_text_without_an_entity_is_numbered() -> None:
    on = tagger()
    with torch.no_grad():
        on.text_model.model.classifier.bias.copy_(torch.tensor([0.0, 0.0, 99.0]))
    with pytest.raises(hs.SaliencyError, match=r"texts\[0\]: the model finds no entity.*leave the text out"):
        on([TEXT, TEXT], target=hs.TokenLabel(aggregation="entity"))


@pytest.mark.parametrize("kind", ["multi_label_classification", None])
def test_labels_above_a_threshold(kind: Any) -> None:
    on = hs.Explainer(
        tiny.of_class("BertForSequenceClassification", num_labels=5, problem_type=kind), tiny.tokenizer()
    )
    logits = on.text_model.model(**on.text_model.tokenizer(TEXT, return_tensors="pt")).logits[0].detach()
    chances = (logits.sigmoid() if kind else logits.softmax(dim=-1)).sort(descending=True)
    threshold = chances.values[:2].mean().item() if kind is None else chances.values[1:3].mean().item()
    heat = on(TEXT, target=hs.Label(threshold=threshold))
    assert [row.class_id for row in heat.targets] == chances.indices[: 2 if kind else 1].tolist()
    same = on(TEXT, target=hs.Label([row.class_id for row in heat.targets]))
    np.testing.assert_allclose(heat.scores, same.scores, rtol=1e-10)
    with pytest.raises(
        hs.SaliencyError, match=r"no label has a probability of at least 0.9999.*a lower threshold="
    ):
        on(TEXT, target=hs.Label(threshold=0.99999))


def test_impossible_labels() -> None:
    for threshold in (0, 1.5, "half", True):
        with pytest.raises(hs.SaliencyError, match="threshold=.*: give a positive number below 1"):
            hs.Label(threshold=threshold)  # type: ignore[arg-type]
    with pytest.raises(hs.SaliencyError, match="threshold=0.5 and label='a' exclude each other"):
        hs.Label("a", threshold=0.5)
    with pytest.raises(hs.SaliencyError, match=r"label=\[\] is empty"):
        hs.Label([])
    with pytest.raises(hs.SaliencyError, match="exclude each other"):
        hs.Label("a", all_labels=True)
    with pytest.raises(hs.SaliencyError, match="unit='bits'"):
        hs.Label(unit="bits")  # type: ignore[arg-type]
    with pytest.raises(hs.SaliencyError, match="aggregation='max'"):
        hs.TokenLabel(aggregation="max")  # type: ignore[arg-type]


def tagger(**changes: Any) -> hs.Explainer:
    labels = {0: "B-PER", 1: "I-PER", 2: "O"}
    model = tiny.of_class("BertForTokenClassification", id2label=labels, num_labels=3, seed=1, **changes)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([0.2, 0.6, 0.0]))
    return hs.Explainer(model, tiny.tokenizer())


@pytest.mark.parametrize("kind", ["regression", None])
def test_a_tagger_of_numbers_has_no_probability(kind: Any) -> None:
    on = hs.Explainer(
        tiny.of_class("BertForTokenClassification", num_labels=1, problem_type=kind), tiny.tokenizer()
    )
    for target in (hs.TokenLabel(unit="prob"), hs.TokenLabel(unit="log_prob"), hs.TokenLabel(against=0)):
        with pytest.raises(
            hs.SaliencyError, match=r"predicts a number, .* give TokenLabel\(\) without unit="
        ):
            on(TEXT, target=target)
    heat = on(TEXT)
    assert heat.scores.any()
    assert {row.unit for row in heat.targets} == {"value"}
    assert not heat.targets[0].predictions
    assert heat.targets[0].probability is None


def test_of_several_numbers_a_tagger_explains_the_first_as_label_does() -> None:
    on = tagger(problem_type="regression")
    assert {row.class_id for row in on(TEXT).targets} == {0}


@pytest.mark.parametrize("unit", ["prob", "log_prob"])
def test_labels_of_a_token_that_do_not_exclude_each_other(unit: Any) -> None:
    on = tagger(problem_type="multi_label_classification")
    logits = on.text_model.model(**on.text_model.tokenizer(TEXT, return_tensors="pt")).logits[0]
    chances = logits.sigmoid() if unit == "prob" else torch.nn.functional.logsigmoid(logits)
    heat = on(TEXT, target=hs.TokenLabel(label="I-PER", unit=unit))
    for row in heat.targets:
        assert row.score == pytest.approx(chances[row.position, 1].item(), rel=1e-10)
        assert row.predictions[0].probability == pytest.approx(logits[row.position].sigmoid().max().item())


NAMES = "the cat learned it and a dog ran to the mat"


def test_every_token_against_dense_autograd() -> None:
    explainer = tagger()
    heat = explainer(NAMES)
    ids = explainer.text_model.tokenizer(NAMES)["input_ids"]
    module = explainer.text_model.model.get_input_embeddings()
    values = logits(explainer, NAMES)
    assert [row.position for row in heat.targets] == list(range(1, len(ids) - 1))
    for row, found in zip(heat.targets, heat.scores, strict=True):
        best = int(values[row.position].argmax())
        assert row.class_id == best
        assert row.score == pytest.approx(values[row.position, best].item(), rel=1e-12)
        expected = reference.dense(
            [(module, ids)], lambda at=row.position, i=best: logits(explainer, NAMES)[at, i]
        )
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_words_and_entities_are_means_of_their_tokens() -> None:
    explainer = tagger()
    values = logits(explainer, NAMES)
    best = values.argmax(-1).tolist()
    words = explainer(NAMES, target=hs.TokenLabel(aggregation="word"))
    (learned,) = (row for row in words.targets if row.label.startswith("learned"))
    expected = (values[3, best[3]] + values[4, best[3]]) / 2
    assert learned.score == pytest.approx(expected.item(), rel=1e-12)
    assert learned.position == 3
    entities = explainer(NAMES, target=hs.TokenLabel(aggregation="entity"), method="input_x_gradient")
    tokens = explainer(NAMES, method="input_x_gradient")
    spans = []
    for position in range(1, len(best) - 1):
        if best[position] == 2:
            continue
        if best[position] == 1 and spans and spans[-1][-1] == position - 1:
            spans[-1].append(position)
        else:
            spans.append([position])
    assert any(len(span) > 1 for span in spans)
    assert [row.position for row in entities.targets] == [span[0] for span in spans]
    for row, span, found in zip(entities.targets, spans, entities.scores, strict=True):
        assert row.label.endswith(": PER")
        np.testing.assert_allclose(found, tokens.scores[[at - 1 for at in span]].mean(axis=0), atol=1e-10)


def test_a_given_label_at_chosen_words() -> None:
    explainer = tagger()
    heat = explainer(NAMES, target=hs.TokenLabel(["cat", -2], label="O", against="I-PER", unit="log_prob"))
    values = logits(explainer, NAMES).log_softmax(-1)
    assert [row.position for row in heat.targets] == [2, 12]
    assert [row.label for row in heat.targets] == ["cat: O", "mat: O"]
    for row in heat.targets:
        assert row.score == pytest.approx(
            (values[row.position, 2] - values[row.position, 1]).item(), rel=1e-10
        )


def test_a_token_that_is_punctuation_stands_in_quotes_before_its_label() -> None:
    explainer = tagger()
    text = "the cat : it ran !"
    heat = explainer(text, target=hs.TokenLabel(label="O"))
    words = [f"“{word}”: O" if word in ":!" else f"{word}: O" for word in text.split()]
    assert [row.label for row in heat.targets] == words
    whole = explainer(text, target=hs.TokenLabel(label="O", aggregation="word"))
    assert [row.label for row in whole.targets] == words


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        ("S-PER E-PER", [[0], [1]]),
        ("U-PER I-PER L-PER", [[0], [1, 2]]),
        ("B-PER E-PER I-PER E-PER", [[0, 1], [2, 3]]),
        ("B-PER I-PER O I-PER", [[0, 1], [3]]),
        ("B-PER I-LOC B-LOC", [[0], [1], [2]]),
        ("PER PER LOC", [[0, 1], [2]]),
    ],
)
def test_entities_begin_and_end_as_their_labels_say(names: str, groups: list[list[int]]) -> None:
    labels = dict(enumerate(sorted(set(names.split()))))
    predicted = [next(i for i, name in labels.items() if name == one) for one in names.split()]
    assert token_label._entities(range(len(predicted)), predicted, labels) == groups


class LatePooling(nn.Module):
    """A classifier that scores each token and averages the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny.of_class("BertModel")
        self.config = self.inner.config
        self.head = nn.Linear(16, 2).double()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        states = self.inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(states)
        return {"logits": (self.head(states) * mask).sum(1) / mask.sum(1)}


@pytest.mark.parametrize("made", [LatePooling, lambda: tiny.model("sequence_classification", "eurobert")[0]])
def test_a_classifier_that_pools_what_it_scored_is_left_alone(made: Any) -> None:
    model = made()
    model.config.pad_token_id = None
    explainer = hs.Explainer(model, tiny.tokenizer())
    texts = [TEXT, "the dog"]
    for heat, text in zip(explainer(texts, target=hs.Label(all_labels=True)), texts, strict=True):
        given = tiny.tokenizer()(text, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            output: Any = model(**given)
        assert [row.score for row in heat.targets] == pytest.approx(output["logits"][0].tolist(), rel=1e-9)


def test_rows_that_end_several_times_have_a_batch_of_their_own() -> None:
    model, tokenizer = tiny.model("sequence_classification", "bart")
    explainer = hs.Explainer(model, tokenizer)
    texts = [TEXT, ("the cat", "a dog"), "the cat [SEP] sat", "the dog"]
    together = explainer(texts, target=hs.Label(1))
    for heat, text in zip(together, texts, strict=True):
        np.testing.assert_allclose(heat.scores, explainer(text, target=hs.Label(1)).scores, rtol=1e-9)


@pytest.mark.parametrize("aggregation", ["word", "entity"])
def test_words_and_entities_of_a_text_too_long_for_the_model(aggregation: Any) -> None:
    with pytest.raises(hs.SaliencyError, match="reads at most"):
        tagger()(" ".join([NAMES] * 9), target=hs.TokenLabel(aggregation=aggregation), overflow="windows")

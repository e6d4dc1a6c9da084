"""The command line on every task: a tiny saved model for each head, with the options of that head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from transformers.utils import logging
from typer.testing import CliRunner, Result

import hf_saliency as hs
from hf_saliency import cli
from hf_saliency.adapter import tasks
from hf_saliency.cli.targets import kinds

TEXT, OTHER = "the cat sat on a mat", "the dog ran"
LABELS = {0: "B-PER", 1: "O"}
Saved = Callable[..., str]


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Saved:
    """Return a function that saves a tiny model of a class and returns its folder."""
    monkeypatch.chdir(tmp_path)

    def save(name: str, **changes: Any) -> str:
        changes = {"pad_token_id": 0, **changes}
        model: Any = tiny.of_class(name, **changes).float()
        model.save_pretrained("model")
        tiny.tokenizer().save_pretrained("model")
        return "model"

    return save


def invoke(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["explain", *arguments], input=given, prog_name="hf-saliency")


def explained(*arguments: str, given: str | None = None, count: int = 1) -> list[hs.SaliencyMap]:
    """Return the maps that a command writes."""
    result = invoke(*arguments, "--output", "own.json", given=given)
    assert result.exit_code == 0, result.output
    paths = ["own.json"] if count == 1 else [f"own-{i}.json" for i in range(1, count + 1)]
    return [hs.SaliencyMap.load(path) for path in paths]


def refused(*arguments: str, code: int = 2) -> str:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    return line


def library(given: Any, target: hs.Label | Any = None) -> hs.SaliencyMap:
    """Return the map that the library computes with the model in the folder."""
    import transformers

    (architecture,) = transformers.AutoConfig.from_pretrained("model").architectures
    model = getattr(transformers, architecture).from_pretrained("model", dtype="float32")
    heat: hs.SaliencyMap = hs.Explainer(model, tiny.tokenizer())(given, target=target)
    return heat


PAIR, CHOICES = ("--pair", OTHER), ("--choice", "a mat", "--choice", "music")


@pytest.mark.parametrize(
    ("name", "options", "given", "target"),
    [
        ("BertForMaskedLM", (), TEXT, None),
        ("BertForMaskedLM", ("--target", "span", "--positions", "cat sat"), TEXT, hs.MaskedSpan("cat sat")),
        ("BertForMaskedLM", ("--target", "pseudo-log-likelihood"), TEXT, hs.PseudoLogLikelihood()),
        ("GPT2LMHeadModel", (), TEXT, None),
        (
            "GPT2LMHeadModel",
            ("--target", "continuation", "--pair", " the dog"),
            (TEXT, " the dog"),
            hs.Continuation(),
        ),
        (
            "GPT2LMHeadModel",
            ("--target", "continuation", "--max-new-tokens", "3"),
            TEXT,
            hs.Continuation(max_new_tokens=3),
        ),
        ("BertForSequenceClassification", PAIR, (TEXT, OTHER), None),
        ("BertForSequenceClassification", ("--all-labels",), TEXT, hs.Label(all_labels=True)),
        (
            "BertForSequenceClassification",
            (*PAIR, "--label", "LABEL_1", "--unit", "prob"),
            (TEXT, OTHER),
            hs.Label("LABEL_1", unit="prob"),
        ),
        ("BertForTokenClassification", (), TEXT, None),
        ("BertForTokenClassification", ("--aggregation", "word"), TEXT, hs.TokenLabel(aggregation="word")),
        (
            "BertForTokenClassification",
            ("--aggregation", "entity"),
            TEXT,
            hs.TokenLabel(aggregation="entity"),
        ),
        ("BertForQuestionAnswering", PAIR, (TEXT, OTHER), None),
        ("BertForQuestionAnswering", (*PAIR, "--answer", "dog"), (TEXT, OTHER), hs.AnswerSpan("dog")),
        ("BertForMultipleChoice", CHOICES, (TEXT, "a mat", "music"), None),
        (
            "BertForMultipleChoice",
            (*CHOICES, "--answer", "music", "--against", "a mat"),
            (TEXT, "a mat", "music"),
            hs.Choice("music", against="a mat"),
        ),
        ("BartForConditionalGeneration", PAIR, (TEXT, OTHER), None),
        ("BartForConditionalGeneration", ("--max-new-tokens", "4"), TEXT, hs.Continuation(max_new_tokens=4)),
        ("T5ForConditionalGeneration", PAIR, (TEXT, OTHER), None),
        ("BertModel", PAIR, (TEXT, OTHER), None),
        ("BertModel", (*PAIR, "--pooling", "first"), (TEXT, OTHER), hs.Similarity("first")),
    ],
)
def test_a_task_is_what_the_library_explains(
    saved: Saved, name: str, options: tuple[str, ...], given: Any, target: Any
) -> None:
    changes = {"id2label": LABELS} if name == "BertForTokenClassification" else {}
    (heat,) = explained(TEXT, "--model", saved(name, **changes), *options)
    expected = library(given, target)
    assert heat.provenance["class"] == name
    assert (heat.texts, heat.tokens) == (expected.texts, expected.tokens)
    assert [(row.label, row.unit) for row in heat.targets] == [
        (row.label, row.unit) for row in expected.targets
    ]
    assert np.abs(heat.scores).max() > 0
    np.testing.assert_allclose(heat.scores, expected.scores, rtol=1e-5, atol=1e-9)


def test_every_target_of_a_task_has_a_kind() -> None:
    for task in tasks.PRECEDENCE:
        (target,) = (target for target in kinds().values() if target.__name__ == task.target)
        assert task in target.heads()


# Texts that belong together


def test_pairs_and_choices_of_several_texts(saved: Saved) -> None:
    model = saved("BertForSequenceClassification")
    pairs = explained(TEXT, OTHER, "--pair", "it ran", "--pair", "she sat", "--model", model, count=2)
    assert [heat.texts for heat in pairs] == [(TEXT, "it ran"), (OTHER, "she sat")]
    model = saved("BertForMultipleChoice")
    chosen = explained(TEXT, OTHER, *CHOICES, "--model", model, count=2)
    assert [heat.texts[::2] for heat in chosen] == [(TEXT, TEXT), (OTHER, OTHER)]


def test_columns_of_a_file(saved: Saved) -> None:
    Path("pairs.tsv").write_text(f"{TEXT}\tit ran\n\n{OTHER}\tshe sat\n", encoding="utf-8")
    model = saved("BertForSequenceClassification")
    pairs = explained("--file", "pairs.tsv", "--columns", "--model", model, count=2)
    assert [heat.texts for heat in pairs] == [(TEXT, "it ran"), (OTHER, "she sat")]
    model = saved("BertForMultipleChoice")
    (chosen,) = explained("--columns", "--model", model, given=f"{TEXT}\ta mat\tmusic\n")
    assert chosen.texts == (TEXT, "a mat", TEXT, "music")
    model = saved("BertForTokenClassification")
    (alone,) = explained("--columns", "--model", model, given=TEXT)
    assert alone.texts == (TEXT,)


def test_the_bundled_encoder_finds_texts_similar() -> None:
    result = invoke("She drank hot tea.", "--pair", "He drank coffee.", "--target", "similarity")
    assert result.exit_code == 0, result.output
    heading, table = result.stdout.splitlines()[0], result.stdout.splitlines()[-3:]
    assert heading.startswith("similarity (value 0.")
    assert table[0].split() == "# target value p % depends on, % of max".split()  # a value has no probability
    assert table[1].split()[0] == "similarity"
    assert float(table[1].split()[1]) < 1
    assert table[1].split()[3] == "100"


# Heads


def test_a_model_that_names_no_head_gets_the_one_asked_for_if_its_weights_are_there(saved: Saved) -> None:
    bare = saved("BartModel")
    (heat,) = explained(TEXT, *PAIR, "--model", bare, "--target", "continuation")
    assert heat.provenance["class"] == "BartForConditionalGeneration"
    before = logging.get_verbosity()  # type: ignore[no-untyped-call]
    line = refused(TEXT, "--model", saved("BertModel"), "--target", "masked", code=1)
    assert logging.get_verbosity() == before  # type: ignore[no-untyped-call]
    assert "'model' names no head, and has no weights (cls." in line
    assert "for one that fills masks: give another --model" in line
    line = refused(TEXT, "--model", "model", "--target", "continuation", "--pair", OTHER, code=1)
    assert "names no head" in line


def test_similarity_takes_the_head_off(saved: Saved) -> None:
    (heat,) = explained(TEXT, *PAIR, "--model", saved("BertForMaskedLM"), "--target", "similarity")
    assert heat.provenance["class"] == "BertModel"


def test_a_head_for_something_else(saved: Saved) -> None:
    model = saved("BertForMaskedLM")
    line = refused(TEXT, "--model", model, "--target", "label", code=1)
    assert (
        "is a BertForMaskedLM, which fills masks, but this target needs a model that classifies a text"
        in line
    )
    assert "omit --target to explain the task of this model" in line


def test_without_an_architecture_a_model_is_taken_for_a_language_model(saved: Saved) -> None:
    config = Path(saved("GPT2LMHeadModel"), "config.json")
    config.write_text(config.read_text("utf-8").replace('"GPT2LMHeadModel"', ""), encoding="utf-8")
    (heat,) = explained(TEXT, "--model", "model")
    assert heat.provenance["class"] == "GPT2LMHeadModel"


# Options that do not fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "label"), "--target label needs a model that classifies a text: pass --model"),
        (("--target", "answer"), "takes two texts (TEXT --pair OTHER; a question comes before its context)"),
        (("--target", "similarity"), "takes two texts (TEXT --pair OTHER"),
        (
            ("--target", "choice", "--choice", "a mat"),
            "at least two choices (TEXT --choice ONE --choice OTHER)",
        ),
        (("--target", "next", *PAIR), "--target continuation takes a prompt and its continuation"),
        (PAIR, "this model's target is masked, which takes one text"),
        ((*PAIR, *PAIR), "there are 2 for 1 texts: give one for each TEXT"),
        ((*PAIR, *CHOICES), "give --pair or --choice, not both"),
        ((*PAIR, "--columns"), "with --columns, each line already contains the texts that belong together"),
        (("--all-labels",), "--all-labels: --target masked does not use it; it is for --target label"),
        (("--label", "x"), "--target masked does not use it; it is for --target label or tokens"),
        (("--answer", "x"), "it is for --target choice or answer"),
        (("--aggregation", "word"), "it is for --target tokens"),
        (("--pooling", "mean"), "it is for --target similarity"),
        (("--max-new-tokens", "3"), "it is for --target continuation"),
        (("--target", "similarity", *PAIR, "--unit", "prob"), "--unit: --target similarity does not use it"),
        (
            ("--target", "similarity", *PAIR, "--positions", "3"),
            "--positions: --target similarity does not use it",
        ),
        (("--aggregation", "sentence"), "'sentence' is not one of 'word', 'entity'"),
    ],
)
def test_options_that_do_not_fit(options: tuple[str, ...], message: str) -> None:
    assert message in refused(TEXT, *options)


def test_a_misspelt_kind_of_a_model_without_places(saved: Saved) -> None:
    line = refused(TEXT, "--model", saved("BertForSequenceClassification"), "--target", "labels")
    assert "'labels' is not a kind of target (" in line


def test_a_row_with_too_few_columns_is_named(saved: Saved) -> None:
    Path("pairs.tsv").write_text(f"{TEXT}\tit ran\n{OTHER}\n", encoding="utf-8")
    model = saved("BertForQuestionAnswering")
    line = refused("--file", "pairs.tsv", "--columns", "--model", model)
    assert "before its context) (text 2 has 1)" in line

"""Conversations: each message is a text of the map; the template's text around the messages is not."""

from __future__ import annotations

import chats
import numpy as np
import pytest
from chats import ANSWER, QUESTION, SYSTEM

import hf_saliency as hs

TOLD = {"role": "system", "content": SYSTEM}
# Other kinds of templates: one merges the system's message into the user's, one has no token that ends a turn.
MERGED = (
    "{% set told = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
    "{% for m in messages if m['role'] != 'system' %}{% if m['role'] == 'user' %}[INST] {{ told }}\n\n"
    "{{ m['content'] }} [/INST]{% else %} {{ m['content'] }}<|im_end|>{% endif %}{% endfor %}"
)
SHOUTS = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] | upper }}\n{% endfor %}"
REFUSES = (
    "{% if messages[-1]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="module")
def explainer() -> hs.Explainer:
    return hs.Explainer(chats.model(), chats.tokenizer())


def with_template(template: str) -> hs.Explainer:
    tokenizer = chats.tokenizer.__wrapped__()
    tokenizer.chat_template = template
    return hs.Explainer(chats.model(), tokenizer)


def words(heat: hs.SaliencyMap, text: int, *, special: bool = False) -> list[str]:
    return [
        label
        for label, token in zip(heat.labels, heat.tokens, strict=True)
        if token.text_index == text and token.special == special
    ]


def test_the_default_explains_the_last_message_of_the_assistant(explainer: hs.Explainer) -> None:
    heat = explainer([QUESTION, ANSWER])
    assert heat.texts == (QUESTION["content"], ANSWER["content"])
    assert heat.text_names == ("user", "assistant")
    assert [row.label for row in heat.targets] == words(heat, 1)
    assert {heat.tokens[row.position or 0].text_index for row in heat.targets} == {1}
    expected = explainer([QUESTION, ANSWER], target=hs.Continuation())
    assert heat == expected
    by_word = explainer([QUESTION, ANSWER], target="boat")
    assert [row.label for row in by_word.targets] == ["boat"]


def test_a_word_of_an_earlier_message(explainer: hs.Explainer) -> None:
    heat = explainer([TOLD, QUESTION, ANSWER], target=hs.NextToken(["ship", "boat"]))
    places = [heat.tokens[row.position or 0].text_index for row in heat.targets]
    assert ([row.label.strip() for row in heat.targets], places) == (["ship", "boat"], [1, 2])
    whole = explainer([TOLD, QUESTION, ANSWER], target=hs.NextToken(["first", "boat"], total=True))
    assert whole.targets[0].label == "first? The mail boat"
    with pytest.raises(hs.SaliencyError, match="the word 'tea' is not in the text .* there is 'You', 'are'"):
        explainer([TOLD, QUESTION, ANSWER], target=hs.NextToken("tea"))


def test_the_model_answers_where_no_answer_is_given(explainer: hs.Explainer) -> None:
    heat = explainer([QUESTION], target=hs.NextToken(total=True))
    written = explainer([QUESTION], target=hs.Continuation(total=True))
    assert heat.text_names == ("user", "assistant")
    assert heat == written
    given = explainer(([QUESTION], "The mail boat, at dawn."))
    assert given == explainer([QUESTION, ANSWER])


def test_what_the_template_writes_is_special_and_beside_its_message(explainer: hs.Explainer) -> None:
    heat = explainer([TOLD, QUESTION, ANSWER])
    assert heat.text_names == ("system", "user", "assistant")
    assert "".join(words(heat, 1)) == "Whichshipcamefirst?"
    around = ["".join(words(heat, number, special=True)) for number in range(3)]
    assert around == [
        "<|im_start|>system↵<|im_end|>↵",
        "<|im_start|>user↵<|im_end|>↵",
        "<|im_start|>assistant↵",
    ]
    rendered = chats.tokenizer().apply_chat_template(
        [TOLD, QUESTION], tokenize=False, add_generation_prompt=True
    )
    whole = explainer((rendered, ANSWER["content"]), target=hs.Continuation())
    np.testing.assert_array_equal(heat.scores, whole.scores)
    default = explainer([QUESTION, ANSWER])  # the template's default prompt is no text of the map
    assert default.scores.shape == heat.scores.shape
    assert default.texts == heat.texts[1:]


def test_contents_are_found_whatever_the_template_does_with_them() -> None:
    padded = {"role": "user", "content": "  user\n"}
    heat = hs.Explainer(chats.model(), chats.tokenizer())([padded, ANSWER])
    assert heat.texts[0] == "user"  # the trimmed content, not the role
    merged = with_template(MERGED)([TOLD, QUESTION, ANSWER])
    assert merged.texts == (SYSTEM, QUESTION["content"], ANSWER["content"])
    assert merged.text_names == ("system", "user", "assistant")
    refuses = with_template(REFUSES)([TOLD, QUESTION, ANSWER])
    assert refuses.text_names == ("system", "user", "assistant")


def test_a_template_that_rewrites_its_contents_leaves_one_prompt() -> None:
    heat = with_template(SHOUTS)([QUESTION, ANSWER])
    assert heat.text_names == ("prompt", "continuation")
    assert heat.texts == ("user: WHICH SHIP CAME FIRST?\n", ANSWER["content"])
    called = {"role": "assistant", "tool_calls": [{"function": {"name": "ships"}}], "content": ""}
    calls = hs.Explainer(chats.model(), chats.tokenizer())([QUESTION, called, QUESTION, ANSWER])
    assert calls.text_names == ("prompt", "continuation")


def test_a_contrast_and_a_baseline_of_a_conversation(explainer: hs.Explainer) -> None:
    target = hs.NextToken("boat", against=" ship")
    heat = explainer([QUESTION, ANSWER], target=target, method="occlusion")
    assert (heat.targets[0].label, heat.targets[0].against) == ("boat", "ship")
    assert not heat.scores[0, [token.special for token in heat.tokens]].any()
    assert heat.scores[0, [not token.special for token in heat.tokens]].any()

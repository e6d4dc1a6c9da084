"""Conversations: messages are checked once, and errors name what the template cannot write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny

import hf_saliency as hs

ASKED = [{"role": "user", "content": "the cat"}]
PARTS = [{"type": "text", "text": "the cat"}]
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} . {% endfor %}"
    "{% if add_generation_prompt %}it :{% endif %}"
)


@pytest.fixture(scope="module")
def chat() -> hs.Explainer:
    tokenizer = tiny.tokenizer.__wrapped__()
    tokenizer.chat_template = TEMPLATE
    return hs.Explainer(tiny.of_class("GPT2LMHeadModel"), tokenizer)


def test_a_conversation_and_the_reply_to_it(chat: hs.Explainer) -> None:
    heat = chat((ASKED, " sat"), target=hs.Continuation())
    expected = chat(ASKED, target=hs.Continuation(" sat"))
    assert heat.texts == expected.texts == ("the cat", " sat")
    assert [token.piece for token in heat.tokens if token.special] == ["user", ":", ".", "it", ":"]
    np.testing.assert_array_equal(heat.scores, expected.scores)
    several = chat([(ASKED, " sat"), ("the cat", " ran")], target=hs.Continuation())
    assert [one.texts[1] for one in several] == [" sat", " ran"]


def test_a_reply_in_parts(chat: hs.Explainer) -> None:
    parts = [{"type": "text", "text": "sat"}, {"type": "text", "text": " on a mat"}]
    heat = chat([*ASKED, {"role": "assistant", "content": parts}], target=hs.Continuation())
    assert heat.texts[1] == "sat on a mat"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [{"role": "user"}],
            "a conversation is a list of messages with a role and a content.*'user'} is not one",
        ),
        ([{"role": "user", "content": None}], "'content': None} is not one"),
        ([{"content": "the cat"}], "{'content': 'the cat'} is not one"),
        ([*ASKED, {"role": "assistant"}], "{'role': 'assistant'} is not one"),
        ([["the cat"]], r"texts\[0\]: a conversation is a list of messages.*'the cat' is not one"),
        ([[]], r"a conversation is a list of messages.*\[\] is not one"),
        ([{"role": "user", "content": PARTS}], "does not accept a list of parts as content"),
        ([*ASKED, {"role": "assistant", "content": [{"type": "image"}]}], "is not text alone"),
    ],
)
def test_what_is_no_conversation(chat: hs.Explainer, given: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        chat(given, target=hs.Continuation())


def test_a_template_that_takes_parts() -> None:
    tokenizer = tiny.tokenizer.__wrapped__()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'][0]['text'] }}{% endfor %}"
    on = hs.Explainer(tiny.of_class("GPT2LMHeadModel"), tokenizer)
    assert on([{"role": "user", "content": PARTS}], target=hs.NextToken(total=True)).texts[0] == "the cat"

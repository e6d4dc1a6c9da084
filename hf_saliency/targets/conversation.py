"""Conversations: messages rendered with a chat template, and each of them as a separate text."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.maps.spans import Token

Message = dict[str, Any]


def messages(value: Any) -> list[Message]:
    """Return the messages of a conversation, ``{"role": ..., "content": ...}``; refuse anything else.

    The content is a string, or a list of parts if the template takes lists. A message of tool calls needs no content.
    """
    for message in value if isinstance(value, list) and value else [value]:
        known = isinstance(message, dict) and isinstance(message.get("role"), str)
        if not known or not (isinstance(message.get("content"), (str, list)) or message.get("tool_calls")):
            raise SaliencyError(
                "a conversation is a list of messages with a role and a content, explainer([{'role': 'user', "
                f"'content': 'Some text.'}}]), and {message!r} is not one."
            )
    return list(value)


def reply(message: Message) -> str:
    """Return the text of the message to explain; refuse a message that holds anything but text."""
    content = message.get("content")
    parts = [{"text": content}] if isinstance(content, str) else content or []
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise SaliencyError(
            f"the assistant's message {message!r} is not text alone: give its content as a string."
        )
    return "".join(map(str, texts))


def rendered(conversation: Sequence[Message], model: TextModel, *, answer: bool) -> str:
    """Render a conversation with the model's chat template; refuse messages that the template does not take.

    ``answer`` adds the beginning of the assistant's next message.
    """
    if not getattr(model.tokenizer, "chat_template", None):
        raise SaliencyError(
            f"{type(model.tokenizer).__name__} has no chat template, which a conversation needs: give the prompt as a "
            "string, or set tokenizer.chat_template."
        )
    try:
        text = _applied(conversation, model, answer=answer)
    except Exception as error:  # a template may raise anything
        raise SaliencyError(f"the chat template does not accept this conversation: {error}") from error
    for message in conversation:
        content = message.get("content")
        if isinstance(content, list) and str(content) in text:
            raise SaliencyError(
                f"the chat template does not accept a list of parts as content and would write {content!r} unchanged: "
                "give the content as a string."
            )
    return text


def _applied(conversation: Sequence[Message], model: TextModel, *, answer: bool) -> str:
    text: Any = model.tokenizer.apply_chat_template(
        list(conversation), tokenize=False, add_generation_prompt=answer
    )
    return str(text)


@dataclass(frozen=True)
class Turn:
    """A message in a rendered conversation.

    The template's text for it begins at ``header``; its content is the characters ``start`` to ``end``.
    """

    role: str
    header: int
    start: int
    end: int


_STAND_IN = re.compile("\ue000([0-9]+)\ue001")  # private characters, which no template looks for


def turns(text: str, conversation: Sequence[Message], model: TextModel) -> list[Turn]:
    """Find each message's content in the conversation that a template has rendered.

    The template is applied to stand-ins, which reveal the text that it writes around the contents. The list is empty if
    the template rewrites contents, or if there are tool calls.
    """
    if any(message.get("tool_calls") for message in conversation):
        return []
    contents: list[tuple[int, str]] = []  # the number of the message, and its text
    stand_ins = [_stand_in(message, number, contents) for number, message in enumerate(conversation)]
    try:
        literals = _STAND_IN.split(_applied(stand_ins, model, answer=True))
    except Exception:  # a template may insist on certain content
        return []
    placed: list[Turn] = []
    place = len(literals[0])
    if not text.startswith(literals[0]):
        return []
    for index, literal in zip(literals[1::2], literals[2::2], strict=True):
        number, content = contents[int(index)]
        forms = (content, content.strip(), content.lstrip(), content.rstrip())  # templates may strip content
        form = next((form for form in forms if text.startswith(form + literal, place)), None)
        if form is None:
            return []
        before = placed[-1].end if placed else 0
        header = _length(text, conversation[:number], model)
        header = header if before <= header <= place else before
        placed.append(Turn(conversation[number]["role"], header, place, place + len(form)))
        place += len(form) + len(literal)
    return placed if place == len(text) else []


def _stand_in(message: Message, number: int, contents: list[tuple[int, str]]) -> Message:
    """Replace each text in a message's content by a stand-in."""

    def noted(text: str) -> str:
        if not text.strip():
            return text
        contents.append((number, text))
        return f"\ue000{len(contents) - 1}\ue001"

    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": noted(content)}
    if not isinstance(content, list):
        return message
    parts = [
        {**part, "text": noted(part["text"])}
        if isinstance(part, dict) and isinstance(part.get("text"), str)
        else part
        for part in content
    ]
    return {**message, "content": parts}


def _length(text: str, beginning: Sequence[Message], model: TextModel) -> int:
    """The number of characters that the first messages take in a rendered conversation; -1 if it cannot be known."""
    try:
        first = _applied(beginning, model, answer=False) if beginning else ""
    except Exception:  # a template may refuse a conversation that stops here
        return -1
    return len(first) if text.startswith(first) else -1


def by_message(encoding: Encoding, conversation: Sequence[Message], model: TextModel) -> Encoding:
    """Make each message of a rendered conversation and its reply a separate text, with the same tokens.

    The template's own tokens become special tokens before or after the message that they belong to. If the template
    does not show which text belongs to which message, the encoding keeps its two texts, prompt and continuation.
    """
    text, reply_text = encoding.texts
    message_turns = turns(text, conversation, model)
    if not message_turns:
        return dataclasses.replace(encoding, names=("prompt", "continuation"))
    end = _length(text, conversation, model)
    end = end if message_turns[-1].end <= end else message_turns[-1].end
    tokens = []
    for token in encoding.tokens:
        if token.text_index:
            tokens.append(dataclasses.replace(token, text_index=len(message_turns)))
        elif token.start >= end and not _covered(token, message_turns[-1]):
            tokens.append(Token(_name(token, text), 0, 0, len(message_turns), special=True))
        else:
            tokens.append(_placed(token, text, message_turns))
    return dataclasses.replace(
        encoding,
        texts=(*(text[turn.start : turn.end] for turn in message_turns), reply_text),
        tokens=tuple(tokens),
        names=(*(turn.role for turn in message_turns), "assistant"),
    )


def _covered(token: Token, turn: Turn) -> bool:
    """Whether a token belongs to a message's content, even if it has no characters."""
    inside = turn.start <= token.start == token.end <= turn.end and not token.special
    return inside or max(token.start, turn.start) < min(token.end, turn.end)


def _name(token: Token, text: str) -> str:
    """The template's text at a token; for white space, the token's display name."""
    return text[token.start : token.end].strip() or token.piece


def _placed(token: Token, text: str, message_turns: Sequence[Turn]) -> Token:
    """Place a token in its message, or as a special token before or after it."""
    for number, turn in enumerate(message_turns):
        if _covered(token, turn):
            length = turn.end - turn.start
            start, stop = (min(max(place - turn.start, 0), length) for place in (token.start, token.end))
            return dataclasses.replace(token, text_index=number, start=start, end=stop)
    number = max((i for i, turn in enumerate(message_turns) if turn.header <= token.start), default=0)
    turn = message_turns[number]
    place = 0 if token.start < turn.end else turn.end - turn.start
    return Token(_name(token, text), place, place, number, special=True)

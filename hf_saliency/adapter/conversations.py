"""Conversations: lists of messages, checked and written as one text by the tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError

Message = dict[str, Any]


def messages(given: Any) -> list[Message]:
    """The messages of a conversation.

    Parameters
    ----------
    given
        A list of ``{"role": ..., "content": ...}``. A content is a string, or a list of parts where the template
        takes such; a message of tool calls needs none.

    Returns
    -------
    list of dict

    Raises
    ------
    SaliencyError
        If it is anything else.
    """
    for message in given if isinstance(given, list) and given else [given]:
        known = isinstance(message, dict) and isinstance(message.get("role"), str)
        if not known or not (isinstance(message.get("content"), (str, list)) or message.get("tool_calls")):
            raise SaliencyError(
                "a conversation is a list of messages with a role and a content, explainer([{'role': 'user', "
                f"'content': 'Some text.'}}]), and {message!r} is none."
            )
    return list(given)


def reply(message: Message) -> str:
    """The text of the message that is explained.

    Parameters
    ----------
    message
        The last one, whose content is a string or a list of ``{"type": "text", "text": ...}``.

    Returns
    -------
    str

    Raises
    ------
    SaliencyError
        If there is anything but text in it.
    """
    content = message.get("content")
    parts = [{"text": content}] if isinstance(content, str) else content or []
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise SaliencyError(
            f"the assistant's message {message!r} is not text alone: give its content as a string."
        )
    return "".join(map(str, texts))


def rendered(conversation: Sequence[Message], model: TextModel, *, answer: bool) -> str:
    """A conversation as the model's chat template writes it.

    Parameters
    ----------
    conversation
        Its messages.
    model
        Whose tokenizer has the template.
    answer
        Whether the beginning of the assistant's next message is added.

    Returns
    -------
    str

    Raises
    ------
    SaliencyError
        If the tokenizer has no template, or it does not take these messages.
    """
    if not getattr(model.tokenizer, "chat_template", None):
        raise SaliencyError(
            f"{type(model.tokenizer).__name__} has no chat template, which a conversation needs: give the prompt as a "
            "string, or set tokenizer.chat_template."
        )
    try:
        text: Any = model.tokenizer.apply_chat_template(
            list(conversation), tokenize=False, add_generation_prompt=answer
        )
    except Exception as error:  # whatever the template raises
        raise SaliencyError(f"the chat template does not take this conversation: {error}") from error
    for message in conversation:
        content = message.get("content")
        if isinstance(content, list) and str(content) in text:
            raise SaliencyError(
                f"the chat template takes no list of parts as content, and would write {content!r} as it stands: give "
                "the content as a string."
            )
    return str(text)

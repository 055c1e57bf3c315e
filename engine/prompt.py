"""A prompt's structured parts → tokens that fit the model, with what stands before the cursor last.

Everything here is a pure function of its arguments. Consecutive keystrokes must share their tokens, so that
the cache computes only what was typed: what changes last stands last, the left edge of a long file moves in
steps of a quarter of the budget and only at line starts, and the text is cut back to the start of its last
word (token healing), which is the only place where more characters can change tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from famulus.engine.endings import Rules, quote_at_end
from famulus.engine.errors import InvalidRequest, PromptTooLong
from famulus.engine.fit import Count, fit_lines, fit_pieces, rounded, window
from famulus.engine.languages import SENTENCE_LANGUAGES, comment_sign, language_of
from famulus.engine.protocol import Chat, Infill, Message, Prompt, Text, Tokens
from famulus.engine.templates import PREFIX, SUFFIX, ChatTemplate, FillFormat
from famulus.engine.text import Tokenizer

MAX_HEAL = 64
"""Bytes; a last word longer than this is left as it is."""
COMMENTED_LINES = 6
"""Lines after the cursor that a model without fill marks sees as a comment (measured: 17 → 21 of 60)."""
LINE_WIDTH = 200
"""Characters of a line that is shown as a comment."""
MIN_INFILL = 64
"""Tokens; an infilling with less room than this is refused."""


@dataclass(frozen=True)
class PromptCard:
    """What rendering needs to know about a model. Counts are tokens.

    ``infill_budget`` bounds the prompt of an infilling. ``lines`` is how many lines an infilling may have on
    an automatic and on an invoked trigger, if the request does not say.
    """

    model: str
    context: int
    infill_budget: int = 1024
    chat: ChatTemplate | None = None
    fill: FillFormat | None = None
    lines: tuple[int, int] = (1, 6)


@dataclass(frozen=True)
class Rendered:
    """A prompt ready for the model.

    ``heal``: bytes that were cut off the end; the answer must start with them, and they are not shown again.
    ``before``: the end of the text before the answer (up to 256 characters), for constraints on names.
    ``stop_ids``: tokens that end the answer. ``ending``: the rules for
    :class:`famulus.engine.endings.Ending`.
    """

    tokens: list[int]
    heal: bytes
    before: str
    stop_ids: frozenset[int]
    ending: Rules | None = None


def render(prompt: Prompt, tokenizer: Tokenizer, card: PromptCard, reserve: int) -> Rendered:
    """Tokens of ``prompt`` that leave room for ``reserve`` tokens of answer.

    Raises :class:`PromptTooLong` (by how many tokens) for text, tokens and chats that do not fit; an
    infilling is trimmed instead. Raises :class:`InvalidRequest` for a chat with a model that has no
    template, for token ids outside the vocabulary, and for text that is not Unicode.
    """
    if reserve >= card.context:
        raise PromptTooLong(
            f"An answer of {reserve} tokens is {reserve - card.context + 1} more than the context of "
            f"{card.model} ({card.context}) allows.",
            fix="Ask for a shorter answer.",
        )
    if isinstance(prompt, Infill):
        return _infill(prompt, tokenizer, card, min(card.infill_budget, card.context - reserve))
    rendered = _whole(prompt, tokenizer, card)
    excess = len(rendered.tokens) + reserve - card.context
    if excess > 0:
        raise PromptTooLong(
            f"The prompt has {len(rendered.tokens)} tokens; with {reserve} for the answer that is {excess} "
            f"more than the context of {card.model} ({card.context}).",
            fix="Shorten the prompt or ask for a shorter answer.",
        )
    return rendered


def _whole(prompt: Text | Tokens | Chat, tokenizer: Tokenizer, card: PromptCard) -> Rendered:
    """Prompts that are taken as they are."""
    if isinstance(prompt, Tokens):
        wrong = next((t for t in prompt.tokens if t >= tokenizer.vocab_size), None)
        if wrong is not None:
            raise InvalidRequest(f"{card.model} has no token {wrong}; its ids end at {tokenizer.vocab_size - 1}.")
        tokens = list(prompt.tokens) or [_start_token(tokenizer)]
        return Rendered(tokens, b"", tokenizer.decode(tokens[-64:])[-256:], tokenizer.eos_ids)
    if isinstance(prompt, Chat):
        return Rendered(encode_chat(prompt, tokenizer, card), b"", prompt.answer_prefix[-256:], tokenizer.eos_ids)
    text = tokenizer.spellable(prompt.text)
    kept, heal = split_for_healing(text, tokenizer) if prompt.heal else (text, b"")
    return Rendered(_started(tokenizer.encode(kept), tokenizer), heal, text[-256:], tokenizer.eos_ids)


def encode_chat(chat: Chat, tokenizer: Tokenizer, card: PromptCard) -> list[int]:
    """The conversation in the model's own form. Control tokens come from the template only.

    A control token's name inside a message is split by a character that occurs nowhere else before the
    template sees it, and joined again as plain text afterwards. In what the model itself said, marks that
    show (``<think>``, ``<tool_call>``) are left alone, because templates look for them.
    """
    if card.chat is None:
        raise InvalidRequest(
            f"{card.model} has no chat template, so it cannot hold a conversation.",
            fix="Use text completion, or a model whose name says Instruct or Chat.",
        )
    try:
        seal = _unused_character(msgspec.json.encode(chat).decode())
    except UnicodeEncodeError as error:
        raise InvalidRequest("The conversation is not valid Unicode: it holds a lone surrogate.") from error
    every = tokenizer.mark_names
    hidden = tuple(name for name in every if tokenizer.special_id(name) in tokenizer.special_ids)

    def sealed(value: Any, names: tuple[str, ...]) -> Any:
        if isinstance(value, str):
            for name in names:
                if name in value:
                    value = value.replace(name, name[:1] + seal + name[1:])
            return value
        if isinstance(value, dict):
            return {sealed(k, names): sealed(v, names) for k, v in value.items()}
        return [sealed(v, names) for v in value] if isinstance(value, list) else value

    messages = []
    for message in chat.messages:
        names = hidden if message.role == "assistant" else every
        messages.append(msgspec.convert(sealed(msgspec.to_builtins(message), names), Message))
    text = card.chat.render(messages, sealed(chat.tools, every), sealed(chat.answer_prefix, every))
    ids: list[int] = []
    for segment in tokenizer.segments(text):
        ids += [segment] if isinstance(segment, int) else tokenizer.encode(segment.replace(seal, ""))
    return ids


def _unused_character(text: str) -> str:
    return next(c for c in map(chr, range(0xE000, 0xF8FF)) if c not in text)


def _start_token(tokenizer: Tokenizer) -> int:
    """What an otherwise empty prompt starts with."""
    for candidate in (tokenizer.special_id("<|endoftext|>"), tokenizer.bos_id, *sorted(tokenizer.eos_ids)):
        if candidate is not None:
            return candidate
    raise InvalidRequest("The prompt is empty, and this model has no token that starts a text.")


def _started(tokens: list[int], tokenizer: Tokenizer) -> list[int]:
    if tokenizer.adds_bos and tokenizer.bos_id is not None:
        return [tokenizer.bos_id, *tokens]
    return tokens or [_start_token(tokenizer)]


def split_for_healing(text: str, tokenizer: Tokenizer, only_words: bool = False) -> tuple[str, bytes]:
    """Cut ``text`` before its last word: what stays, and the bytes that the answer must begin with.

    The last word is a word with its leading blank, a run of punctuation, or a run of white space with its
    line breaks (newline and indentation are one token, so a prompt that ends after the newline asks for
    something that the model has hardly seen). Nothing is cut where no token goes beyond the word.
    ``only_words``: cut only words.
    """
    end = len(text.rstrip())
    # a place where words certainly begin: the line break before the last text
    start = max(text.rfind("\n", max(0, end - 512), end), 0, end - 512)
    cut = start + tokenizer.last_word(text[start:])
    if len(text) - cut > MAX_HEAL:
        cut = max(text.rfind("\n"), len(text) - MAX_HEAL) if end <= cut else len(text)
    word = text[cut:]
    if only_words and not (word[-1:].isalnum() or word[-1:] == "_"):
        return text, b""
    raw = word.encode()
    if not raw or len(tokenizer.vocabulary.starting_with(raw)) == len(tokenizer.vocabulary.equal_to(raw)):
        return text, b""
    return text[:cut], raw


def _infill(infill: Infill, tokenizer: Tokenizer, card: PromptCard, budget: int) -> Rendered:
    if budget < MIN_INFILL:
        raise PromptTooLong(
            f"An infilling needs room for at least {MIN_INFILL} tokens of prompt, and {budget} are left.",
            fix="Ask for a shorter answer.",
        )
    infill = msgspec.structs.replace(
        infill,
        prefix=tokenizer.spellable(infill.prefix),
        suffix=tokenizer.spellable(infill.suffix),
        language=infill.language or language_of(infill.path),
    )
    stops = tokenizer.eos_ids
    if card.fill is None:
        tokens, heal = _commented(infill, tokenizer, budget)
    else:
        tokens, heal = _marked(infill, tokenizer, card.fill, budget)
        stops |= {_id(tokenizer, name) for name in card.fill.stops}
    return Rendered(tokens, heal, infill.prefix[-256:], stops, _rules(infill, card))


def _rules(infill: Infill, card: PromptCard) -> Rules:
    rest, _, after = infill.suffix.partition("\n")
    following = next((line for line in after.splitlines() if line.strip()), "")
    automatic, invoked = card.lines
    lines = infill.max_lines or (automatic if infill.trigger == "automatic" else invoked)
    return Rules(
        max_lines=lines,
        same_line=bool(rest.strip()),
        head=infill.prefix.rpartition("\n")[2],
        next_line=following,
        fences=infill.language not in SENTENCE_LANGUAGES,
        prose=bool(infill.language) and infill.language not in SENTENCE_LANGUAGES,
        loops=True,
        language=infill.language,
        quote=quote_at_end(infill.prefix, infill.language),
    )


def _commented(infill: Infill, tokenizer: Tokenizer, budget: int) -> tuple[list[int], bytes]:
    """For a model without fill marks: the context as comments above the file, the prefix last."""
    sign = comment_sign(infill.language)
    count = _counter(tokenizer)
    rest = infill.suffix.partition("\n")[2][: 50 * LINE_WIDTH]
    following = [line for line in rest.splitlines() if line.strip()][:COMMENTED_LINES]
    below = fit_lines(_comment(following, sign), budget // 4, count)
    pieces = [_comment([p.path, *p.text.splitlines()], sign) for p in infill.pieces]
    above = "".join(fit_pieces(pieces, budget // 4, count)) + below
    text = window(infill.prefix, budget - rounded(count(above), budget), count)
    kept, heal = split_for_healing(text, tokenizer)
    return _started(tokenizer.encode(above + kept), tokenizer), heal


def _comment(lines: list[str], sign: str) -> str:
    return "".join(f"{sign}{line[:LINE_WIDTH]}".rstrip() + "\n" for line in lines)


def _marked(infill: Infill, tokenizer: Tokenizer, form: FillFormat, budget: int) -> tuple[list[int], bytes]:
    """For a model with fill marks: its own format, with the context as further files before it."""
    count = _counter(tokenizer)
    sign = "" if form.file else comment_sign(infill.language)
    budget -= MIN_INFILL // 2  # the marks, the separators and the path
    pieces = [f"{sign}{p.path}\n{p.text.rstrip()}\n" for p in infill.pieces]
    pieces = fit_pieces(pieces, budget // 4, count)
    suffix = fit_lines(infill.suffix, budget // 4, count)
    used = rounded(sum(map(count, pieces)), budget) + rounded(count(suffix), budget)
    kept, heal = split_for_healing(window(infill.prefix, budget - used, count), tokenizer, only_words=True)

    tokens: list[int] = []
    lead = form.lead
    if form.file and pieces:
        if form.repository:
            tokens += [_id(tokenizer, form.repository), *tokenizer.encode("project\n")]
        for piece in [*pieces, infill.path[-64:] + "\n"]:
            tokens += [_id(tokenizer, form.file), *tokenizer.encode(piece)]
    else:
        lead += "".join(pieces)
    for part in form.parts:
        if part == PREFIX:
            tokens += tokenizer.encode(lead + kept)
        elif part == SUFFIX:
            tokens += tokenizer.encode(suffix)
        else:
            tokens.append(_id(tokenizer, part))
    return _started(tokens, tokenizer), heal


def _counter(tokenizer: Tokenizer) -> Count:
    return lambda text: len(tokenizer.encode(text))


def _id(tokenizer: Tokenizer, name: str) -> int:
    found = tokenizer.special_id(name)
    assert found is not None, f"the fill format was detected without {name}"
    return found

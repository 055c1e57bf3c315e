"""A model's own formats: its chat template, and the marks with which it fills a hole in a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jinja2
import msgspec
from jinja2.exceptions import TemplateError

from famulus.engine.errors import BadWeights, InvalidRequest
from famulus.engine.protocol import Message
from famulus.engine.sandboxed_jinja import Budget, Sandbox, TooMuch
from famulus.engine.text import Tokenizer

MAX_TEMPLATE = 256 << 10
"""Characters; the largest template that is compiled."""
MAX_OUTPUT = 16 << 20
"""Characters; the longest conversation that is rendered."""


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template, rendered as transformers does. ``bos``, ``eos``: the names of these tokens."""

    source: str
    bos: str = ""
    eos: str = ""

    @cached_property
    def _compiled(self) -> jinja2.Template:
        if len(self.source) > MAX_TEMPLATE:
            raise BadWeights(f"The model's chat template is longer than {MAX_TEMPLATE} characters.")
        try:
            return Sandbox().from_string(self.source)
        except (TemplateError, RecursionError, SyntaxError) as error:
            raise BadWeights(f"The model's chat template is damaged: {_clause(error)}.") from error

    def render(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        answer_prefix: str = "",
    ) -> str:
        """The conversation as the model's own text, up to where its answer begins, then ``answer_prefix``.

        Raises :class:`BadWeights` for a template that is damaged or goes over its bounds,
        :class:`InvalidRequest` for a conversation that it refuses.
        """
        variables = {
            "messages": [_fields(m) for m in messages],
            "tools": list(tools) if tools else None,
            "documents": None,
            "add_generation_prompt": True,
            "bos_token": self.bos,
            "eos_token": self.eos,
            "budget": Budget(),
        }
        parts: list[str] = []
        size = 0
        try:
            for part in self._compiled.generate(variables):
                parts.append(part)
                size += len(part)
                if size > MAX_OUTPUT:
                    raise TooMuch("it writes too much")
        except TooMuch as error:
            raise BadWeights(f"The model's chat template is not usable: {error}.") from error
        except TemplateError as error:
            raise InvalidRequest(f"The model's chat template refuses this conversation: {_clause(error)}.") from error
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise InvalidRequest(
                f"The model's chat template cannot render this conversation: {_clause(error)}."
            ) from error
        return "".join(parts) + answer_prefix


def _fields(message: Message | Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates expect it: a field that is absent is undefined, but content is always there."""
    if not isinstance(message, Message):
        return dict(message)
    fields: dict[str, Any] = msgspec.to_builtins(message)
    return {k: v for k, v in fields.items() if v is not None or k == "content"}


def _clause(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


PREFIX, SUFFIX = "{prefix}", "{suffix}"


@dataclass(frozen=True)
class FillFormat:
    """How a model was trained to fill a hole: control tokens and text parts in their order.

    ``parts`` holds names of control tokens, :data:`PREFIX` and :data:`SUFFIX`. ``repository`` and ``file``
    are the marks before a project's name and before each further file, where the model was trained with
    such.
    """

    name: str
    parts: tuple[str, ...]
    stops: tuple[str, ...]
    repository: str = ""
    file: str = ""
    lead: str = ""
    """Plain text that training put before the prefix."""

    @property
    def prefix_last(self) -> bool:
        """Whether the text before the cursor stands last, so that a keystroke only appends."""
        return self.parts[-1] == PREFIX

    @classmethod
    def detect(cls, tokenizer: Tokenizer, config: Mapping[str, Any] | None = None) -> FillFormat | None:
        """The format whose control tokens the tokenizer has, else None.

        ``config["fill"]`` (from the catalog) settles what the tokens cannot say: ``"none"`` for a model that
        carries the marks of its family untrained, ``"psm"`` or ``"spm"`` for the order. A list names the control
        tokens that our own training made marks: prefix, suffix, middle, and perhaps repository and file.
        """
        said = (config or {}).get("fill") or ""
        if isinstance(said, list):
            return _trained(tuple(map(str, said)), tokenizer)
        wish = str(said)
        if wish == "none":
            return None
        for form in FORMATS:
            marks = [p for p in form.parts if p not in (PREFIX, SUFFIX)]
            if all(tokenizer.special_id(m) is not None for m in marks) and wish in ("", form.name[-3:]):
                return _present(form, tokenizer)
        return None


def _trained(names: tuple[str, ...], tokenizer: Tokenizer) -> FillFormat:
    """The format of a model that we trained. Raises :class:`BadWeights` for tokens that it does not have."""
    missing = [name for name in names if tokenizer.special_id(name) is None]
    if len(names) not in (3, 5) or missing:
        raise BadWeights(
            f"The model's config.json has the fill marks {', '.join(names)[:200]}, which are no tokens of it."
        )
    prefix, suffix, middle, *files = names
    repository, file = files or ("", "")
    return FillFormat("trained-spm", _spm((prefix, suffix, middle)), names, repository, file)


def _present(form: FillFormat, tokenizer: Tokenizer) -> FillFormat:
    """``form`` without the optional marks that this tokenizer lacks."""

    def kept(name: str) -> str:
        return name if name and tokenizer.special_id(name) is not None else ""

    marks = [p for p in form.parts if p not in (PREFIX, SUFFIX)]
    stops = tuple(s for s in (*marks, *form.stops) if tokenizer.special_id(s) is not None)
    repository, file = kept(form.repository), kept(form.file)
    return FillFormat(form.name, form.parts, stops, repository, file, form.lead)


_PIPED = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
_PIPED_STOPS = (
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<|file_separator|>",
    "<|reponame|>",
    "<|filename|>",
)
_STAR = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
_STAR_STOPS = ("<fim_pad>", "<repo_name>", "<reponame>", "<file_sep>", "<filename>")
_LLAMA = ("▁<PRE>", "▁<SUF>", "▁<MID>")
_DEEPSEEK = ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>")


def _psm(marks: tuple[str, str, str]) -> tuple[str, ...]:
    return marks[0], PREFIX, marks[1], SUFFIX, marks[2]


def _spm(marks: tuple[str, str, str]) -> tuple[str, ...]:
    return marks[0], marks[1], SUFFIX, marks[2], PREFIX


FORMATS = (
    # Qwen2.5-Coder (technical report §3.1), CodeGemma, Granite 3.3+: prefix, suffix, middle.
    FillFormat("piped-psm", _psm(_PIPED), _PIPED_STOPS, "<|repo_name|>", "<|file_sep|>"),
    # StarCoder 1/2 and Granite Code were trained on both orders; a keystroke is cheapest with the prefix
    # last.
    FillFormat("star-spm", _spm(_STAR), _STAR_STOPS, "<repo_name>", "<file_sep>"),
    FillFormat("star-psm", _psm(_STAR), _STAR_STOPS, "<repo_name>", "<file_sep>"),
    # DeepSeek-Coder and DeepSeek-Coder-V2: the hole stands where it is.
    FillFormat("deepseek-psm", _psm(_DEEPSEEK), ()),
    # Code Llama 7B and 13B: both orders, a blank before the prefix (paper §2.3).
    FillFormat("llama-spm", _spm(_LLAMA), ("▁<EOT>",), lead=" "),
    FillFormat("llama-psm", _psm(_LLAMA), ("▁<EOT>",), lead=" "),
    # Codestral: suffix, then prefix.
    FillFormat("codestral-spm", ("[SUFFIX]", SUFFIX, "[PREFIX]", PREFIX), ("[MIDDLE]",)),
)  # fmt: skip
"""The formats that are known; the first whose control tokens are all there is taken."""

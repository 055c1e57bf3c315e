"""What a tokenizer file says, in one form: ``tokenizer.json`` or the vocabulary inside a GGUF file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from famulus.engine.errors import BadWeights

END_NAMES = (
    "<|endoftext|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|return|>",
    "<|EOT|>",
    "<EOT>",
    "</s>",
    "<eos>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
)
"""Names under which models end an answer; each counts only where the file marks it as a control token."""

_CONTROL_NAME = re.compile(
    r"<[|｜].*[|｜]>|<fim_\w+>|<(repo_name|reponame|file_sep|filename)>|\[(PREFIX|SUFFIX|MIDDLE)\]|▁<(PRE|SUF|MID|EOT)>"
)
"""Added tokens of this form are control tokens even where ``special`` is false (Qwen's ``<|fim_prefix|>``)."""
_MARK_NAME = re.compile(r"</?(think|tools?|tool_call|tool_calls|tool_response|function_call)>")
"""These are shown, because clients look for them, but a text that a user typed does not produce them."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_TIKTOKEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CASED = r"[[\p{Lu}\p{Ll}\p{Lt}]&&[^\x{1D400}-\x{1D7FF}]]"
_CJK = r"[一-龥ࠀ-一가-퟿]+"
_DIGITS_GPT2 = (r"\p{N}", _GPT2)
_LLAMA3 = (_TIKTOKEN.format(digits="{1,3}"),)
_QWEN2 = (_TIKTOKEN.format(digits=""),)
PRE_TOKENIZERS: Mapping[str, tuple[str, ...]] = {
    "smollm": _DIGITS_GPT2,
    "starcoder": _DIGITS_GPT2,
    "refact": _DIGITS_GPT2,
    "command-r": _DIGITS_GPT2,
    "codeshell": _DIGITS_GPT2,
    "gpt-2": (_GPT2,),
    "gpt2": (_GPT2,),
    "olmo": (_GPT2,),
    "mpt": (_GPT2,),
    "granite-docling": (_GPT2,),
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama-bpe": _LLAMA3,
    "dbrx": _LLAMA3,
    "qwen2": _QWEN2,
    "stablelm2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "deepseek-llm": (
        r"[\r\n]", rf"\s?{_CASED}+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", _CJK, r"\p{N}+",
    ),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, r"\p{N}"),
    "deepseek-v3": (
        r"\p{N}{1,3}",
        r"[一-龥぀-ゟ゠-ヿ]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
}  # fmt: skip
"""``tokenizer.ggml.pre`` → regular expressions that cut text into words, applied one after the other."""

_WHOLE_WORDS = ("llama3", "llama-v3", "llama-bpe", "deepseek-v3")
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4  # tokenizer.ggml.token_type


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte: character → byte value."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(rest)}


_BYTES = _byte_alphabet()


class Parts(NamedTuple):
    """One model's tokenizer, taken apart: what :class:`famulus.engine.text.Tokenizer` is made of."""

    backend: Tokenizer
    """Encodes plain text; knows no control token."""
    pieces: list[bytes]
    """What each id writes."""
    marks: dict[str, int]
    """Tokens that plain text must not produce."""
    hidden: frozenset[int]
    """Control tokens: never shown."""
    eos_ids: frozenset[int]
    bos_id: int | None
    adds_bos: bool


def read_json(path: Path | str, config: Mapping[str, Any]) -> Parts:
    """Read a ``tokenizer.json``; ``config`` as in :meth:`famulus.engine.text.Tokenizer.from_file`."""
    try:
        return _from_spec(json.loads(Path(path).read_text(encoding="utf-8")), config)
    except OSError as error:
        raise BadWeights(f"The tokenizer {path} cannot be read: {error.strerror}.") from error
    except BadWeights as error:
        raise BadWeights(f"The tokenizer {path} is not usable: {error.message}") from error
    except Exception as error:  # the tokenizers library raises bare Exception for a malformed file
        raise BadWeights(f"The tokenizer {path} is damaged: {_first_line(error)}.") from error


def read_gguf(metadata: Mapping[str, Any]) -> Parts:
    """Read the vocabulary in the metadata of a GGUF file."""
    try:
        return _from_gguf(metadata)
    except BadWeights:
        raise
    except Exception as error:  # as above
        raise BadWeights(f"The tokenizer inside the GGUF file is damaged: {_first_line(error)}.") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _from_gguf(metadata: Mapping[str, Any]) -> Parts:
    model = metadata.get("tokenizer.ggml.model")
    if model != "gpt2":
        raise BadWeights(
            f"The GGUF file has a {model!r} tokenizer; only byte-level BPE ('gpt2') is read from GGUF.",
            fix="Use the model's safetensors folder instead.",
        )
    pre = str(metadata.get("tokenizer.ggml.pre", "default"))
    if pre not in PRE_TOKENIZERS:
        raise BadWeights(
            f"The GGUF file names the word splitter {pre!r}, which Famulus does not know.",
            fix="Use the model's safetensors folder instead.",
        )
    tokens: list[str] = list(metadata["tokenizer.ggml.tokens"])
    types = list(metadata.get("tokenizer.ggml.token_type", [])) or [1] * len(tokens)
    if len(types) != len(tokens):
        raise BadWeights(f"The GGUF file has {len(tokens)} tokens but {len(types)} token types.")
    backend = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=[_pair(merge) for merge in metadata["tokenizer.ggml.merges"]],
            ignore_merges=pre in _WHOLE_WORDS,
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(p), "isolated") for p in PRE_TOKENIZERS[pre]]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    control = {t: i for i, t in enumerate(tokens) if types[i] in (_UNKNOWN, _CONTROL)}
    added = {t: i for i, t in enumerate(tokens) if types[i] == _USER_DEFINED}
    marks = control | {t: i for t, i in added.items() if _is_mark(t)}
    hidden = {*control.values(), *(i for t, i in added.items() if _is_hidden(t))}
    backend.add_tokens([AddedToken(t, normalized=False) for t in added if t not in marks])
    names = ("bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id", "add_bos_token")
    config = {name: metadata.get(f"tokenizer.ggml.{name}") for name in names}
    ends = [config["eos_token_id"], config["eot_token_id"], config["eom_token_id"]]
    pieces = [t.encode() if t in control or t in added else _spell_bytes(t) for t in tokens]
    return _assemble(backend, pieces, marks, hidden, config | {"eos_token_id": ends})


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right


def _spell_bytes(token: str) -> bytes:
    """Bytes of a byte-level token; a token outside that alphabet stands for its own characters."""
    try:
        return bytes(_BYTES[c] for c in token)
    except KeyError:
        return token.encode()


def _spell_metaspace(token: str) -> bytes:
    byte = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()


def _from_spec(spec: dict[str, Any], config: Mapping[str, Any]) -> Parts:
    kind = spec["model"].get("type", "BPE")
    if kind not in ("BPE", "Unigram"):
        raise BadWeights(f"its model is {kind}, and only BPE and Unigram tokenizers are exact.")
    byte_level = '"ByteLevel"' in json.dumps([spec.get("pre_tokenizer"), spec.get("decoder")])
    added = spec.get("added_tokens") or []
    marks = {a["content"]: int(a["id"]) for a in added if a.get("special") or _is_mark(a["content"])}
    hidden = {int(a["id"]) for a in added if a.get("special") or _is_hidden(a["content"])}
    if not byte_level and not spec["model"].get("byte_fallback"):
        raise BadWeights("it is neither byte-level nor has byte fallback, so it cannot spell every text.")
    vocabulary = spec["model"]["vocab"]
    ids = dict(vocabulary) if kind == "BPE" else {piece: i for i, (piece, _) in enumerate(vocabulary)}
    everything = ids | {a["content"]: int(a["id"]) for a in added}
    if not everything or max(everything.values()) >= 1 << 24:
        raise BadWeights("it has no vocabulary, or token ids beyond 16 million.")
    pieces = [b""] * (max(everything.values()) + 1)
    for token, i in ids.items():
        pieces[i] = _spell_bytes(token) if byte_level else _spell_metaspace(token)
    for a in added:
        pieces[int(a["id"])] = a["content"].encode()
    start = _starting_token(spec.get("post_processor"))
    adds = config.get("add_bos_token")
    begins = {
        "bos_token": config.get("bos_token") or start,
        "add_bos_token": start is not None if adds is None else adds,
    }
    _make_exact(spec, marks)
    return _assemble(Tokenizer.from_str(json.dumps(spec)), pieces, marks, hidden, {**config, **begins})


def _make_exact(spec: dict[str, Any], marks: Mapping[str, int]) -> None:
    """Take out of ``spec`` what would make tokens from a control token's name or would change the text."""
    spec["truncation"] = spec["padding"] = spec["post_processor"] = None
    added = spec.get("added_tokens") or []
    spec["added_tokens"] = [a for a in added if a["content"] not in marks]
    if spec["model"].get("type", "BPE") == "BPE":
        # As words that no merge reaches, all added tokens keep their ids when some are taken out.
        spec["model"]["vocab"] = {a["content"]: a["id"] for a in added} | spec["model"]["vocab"]
    normalizers = spec.get("normalizer") or {}
    kept = [n for n in normalizers.get("normalizers", [normalizers]) if n.get("type") == "Replace"]
    spec["normalizer"] = {"type": "Sequence", "normalizers": kept} if kept else None
    splitter = spec.get("pre_tokenizer") or {}
    for part in splitter.get("pretokenizers", [splitter]):
        if part.get("type") == "ByteLevel":
            part["add_prefix_space"] = False
        elif part.get("type") == "Metaspace":
            part.pop("add_prefix_space", None)
            part["prepend_scheme"] = "never"


def _starting_token(processor: Any) -> str | None:
    """The token that the file's post-processor puts in front of a text, if any."""
    for part in (processor or {}).get("processors", [processor or {}]):
        first = (part.get("single") or [{}])[0]
        if "SpecialToken" in first:
            return str(first["SpecialToken"]["id"])
    return None


def _content(token: Any) -> str:
    """The text of a token that configurations write as a string or as an object."""
    return str(token.get("content") if isinstance(token, dict) else token)


def _is_hidden(name: str) -> bool:
    return _CONTROL_NAME.fullmatch(name) is not None


def _is_mark(name: str) -> bool:
    return _is_hidden(name) or _MARK_NAME.fullmatch(name) is not None


def _assemble(
    backend: Tokenizer,
    pieces: Sequence[bytes],
    marks: Mapping[str, int],
    hidden: set[int],
    config: Mapping[str, Any],
) -> Parts:
    ends = config.get("eos_token_id")
    eos = {int(i) for i in (ends if isinstance(ends, list) else [ends]) if i is not None}
    eos |= {marks[name] for name in (*END_NAMES, _content(config.get("eos_token"))) if name in marks}
    bos = config.get("bos_token_id")
    if bos is None:
        bos = marks.get(_content(config.get("bos_token")))
    if any(not 0 <= i < len(pieces) for i in (*eos, *([bos] if bos is not None else []))):
        raise BadWeights(f"its start or end token lies outside the vocabulary of {len(pieces)} tokens.")
    return Parts(
        backend=backend,
        pieces=list(pieces),
        marks=dict(marks),
        hidden=frozenset(hidden | eos),
        eos_ids=frozenset(eos),
        bos_id=None if bos is None else int(bos),
        adds_bos=bool(config.get("add_bos_token")) and bos is not None,
    )

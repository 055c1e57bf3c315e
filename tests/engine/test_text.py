"""Text survives the tokenizer exactly, control tokens never come from plain text, streams show whole characters."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Reference
from tokenizers import models, pre_tokenizers

from famulus.engine.errors import BadWeights, InvalidRequest
from famulus.engine.text import Detokenizer, Tokenizer
from famulus.engine.tokenizer_files import PRE_TOKENIZERS

MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<file_sep>")
EDGES = [
    "", " ", "\n", "\r\n", "\t", "\x00", "a\x00b", "12 345  6", "x = 1\r\n\ty = 2\r\n", "é", "e\u0301", "😀", "👩‍👩‍👧",
    "\ufeffx",
    "\u2028", "   \n\n\n   ", "²³ ½ ٣٤", "日本語のコード", "\u00a0\u3000 x", "it's we're I'LL", "𝐀𝐁",
    "def f(x):\n    return x\n",
]  # fmt: skip
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)
codes = st.lists(
    st.sampled_from([*MARKS, *EDGES, "def ", "return", "    ", "\n    ", "(", ")", "import os", "_x1", " "]),
    max_size=20,
).map("".join)


@pytest.fixture(scope="session")
def published(embedded_metadata: dict[str, object]) -> Reference:
    """SmolLM2's tokenizer as its authors define it: single digits, then GPT-2's words."""
    merges = [tuple(m.split(" ", 1)) for m in embedded_metadata["tokenizer.ggml.merges"]]  # type: ignore[attr-defined]
    tokens = embedded_metadata["tokenizer.ggml.tokens"]
    reference = Reference(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))  # type: ignore[arg-type, var-annotated]
    digits = pre_tokenizers.Digits(individual_digits=True)
    reference.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return reference


def spelled(tokenizer: Tokenizer, text: str) -> bool:
    return tokenizer.spellable(text) == text


@given(texts | codes)
def test_every_text_comes_back_exactly(embedded: Tokenizer, text: str) -> None:
    text = embedded.spellable(text)
    ids = embedded.encode(text)
    assert embedded.decode(ids) == text
    assert b"".join(map(embedded.token_bytes, ids)) == text.encode()


@given(texts | codes)
def test_a_gguf_encodes_like_the_published_tokenizer(embedded: Tokenizer, published: Reference, text: str) -> None:
    text = embedded.spellable(text)
    assert embedded.encode(text) == published.encode(text).ids


def test_real_code_encodes_like_the_published_tokenizer(embedded: Tokenizer, published: Reference) -> None:
    for module in (json, random, pytest):
        source = Path(module.__file__ or "").read_text(encoding="utf-8")
        assert embedded.encode(source) == published.encode(source).ids


@pytest.mark.parametrize("text", EDGES)
def test_edge_cases_come_back_and_match(embedded: Tokenizer, published: Reference, text: str) -> None:
    assert embedded.encode(text) == published.encode(text).ids
    assert embedded.decode(embedded.encode(text)) == text


def test_known_tokens(embedded: Tokenizer) -> None:
    assert embedded.vocab_size == 49152
    assert embedded.token_bytes(embedded.encode("\n    return")[0]) == b"\n   "
    assert [embedded.token_bytes(i) for i in embedded.encode("2024")] == [b"2", b"0", b"2", b"4"]
    assert embedded.eos_ids == {0, 2}
    assert embedded.special_id("<|im_end|>") == 2
    assert embedded.special_id("return") is None
    assert not embedded.adds_bos


@pytest.mark.peer
def test_a_gguf_encodes_like_llama_cpp(embedded: Tokenizer, embedded_gguf: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    peer = llama_cpp.Llama(str(embedded_gguf), vocab_only=True, verbose=False)
    source = Path(json.__file__).read_text(encoding="utf-8")
    for text in [*EDGES[1:], source]:
        if "\x00" not in text:
            assert embedded.encode(text) == peer.tokenize(text.encode(), add_bos=False, special=False)


@given(codes)
def test_typed_control_tokens_stay_plain_text(embedded: Tokenizer, text: str) -> None:
    assert not embedded.special_ids.intersection(embedded.encode(text))


def test_templates_may_write_control_tokens(embedded: Tokenizer) -> None:
    ids = embedded.encode("<|im_start|>user\nhi<|im_end|>", special=True)
    assert ids[0] == 1
    assert ids[-1] == 2
    assert embedded.decode(ids) == "user\nhi"


def test_a_character_that_cannot_be_spelled_is_replaced_not_dropped(embedded: Tokenizer) -> None:
    assert embedded.decode(embedded.encode("a\x04b")) == "a\ufffdb"


def test_a_lone_surrogate_is_refused(embedded: Tokenizer) -> None:
    with pytest.raises(InvalidRequest, match="surrogate at character 1"):
        embedded.encode("a\ud800")


@given(st.lists(st.integers(0, 49151), max_size=30))
def test_a_stream_shows_the_same_text_as_decoding_at_once(embedded: Tokenizer, ids: list[int]) -> None:
    stream = Detokenizer(embedded)
    assert "".join([*map(stream.push, ids), stream.flush()]) == embedded.decode(ids)


@given(texts)
def test_a_stream_never_shows_half_a_character(embedded: Tokenizer, text: str) -> None:
    text = embedded.spellable(text).replace("\ufffd", "")
    stream = Detokenizer(embedded)
    shown = ""
    for token in embedded.encode(text):
        shown += stream.push(token)
        assert text.startswith(shown)
    assert shown + stream.flush() == text


def test_control_tokens_do_not_leak_into_a_stream(embedded: Tokenizer) -> None:
    stream = Detokenizer(embedded)
    ids = [*embedded.encode("é"), 2, 1, 4, *embedded.encode("x")]
    assert "".join(map(stream.push, ids)) == "éx"


@given(st.integers(0, 12))
def test_healed_bytes_are_not_shown_again(embedded: Tokenizer, skip: int) -> None:
    stream = Detokenizer(embedded, skip=skip)
    text = "\n    return value"
    assert "".join(map(stream.push, embedded.encode(text))) == text[skip:]


@pytest.mark.parametrize("pre", sorted(PRE_TOKENIZERS))
def test_every_word_splitter_is_exact(embedded_metadata: dict[str, object], pre: str) -> None:
    tokenizer = Tokenizer.from_gguf({**embedded_metadata, "tokenizer.ggml.pre": pre})
    source = Path(json.__file__).read_text(encoding="utf-8")[:3000]
    for text in [*EDGES, source]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("pre", "text", "last"),
    [
        ("smollm", "x = 2024", "4"),
        ("gpt-2", "x = 2024", " 2024"),
        ("llama-bpe", "x = 2024", "4"),
        ("llama-bpe", "x2024", "4"),
        ("qwen2", "df.colu", ".colu"),
        ("smollm", "df.colu", "colu"),
        ("smollm", "if x:\n    ", "\n    "),
        ("qwen2", "if x:\n    ", "    "),
        ("deepseek-llm", "a b", " b"),
        ("deepseek-coder", "a\n", "\n"),
        ("smollm", "x\r\n\t", "\r\n\t"),
        ("smollm", "", ""),
    ],
)
def test_the_last_word_is_where_the_model_would_split(
    embedded_metadata: dict[str, object], pre: str, text: str, last: str
) -> None:
    tokenizer = Tokenizer.from_gguf({**embedded_metadata, "tokenizer.ggml.pre": pre})
    assert text[tokenizer.last_word(text) :] == last


def test_files_in_qwens_form(make_tokenizer) -> None:  # type: ignore[no-untyped-def]
    added = {
        "<|endoftext|>": True,
        "<|fim_prefix|>": False,
        "<tool_call>": False,
        "\u20dd\u20dd": False,
        "<|im_end|>": True,
    }
    tokenizer = make_tokenizer(added, ["r e", "re t"], eos_token={"content": "<|im_end|>"})
    hidden = {tokenizer.special_id(n) for n in ("<|endoftext|>", "<|fim_prefix|>", "<|im_end|>")}
    assert tokenizer.special_ids == hidden
    assert tokenizer.eos_ids == {tokenizer.special_id("<|endoftext|>"), tokenizer.special_id("<|im_end|>")}
    for text in (*added, "e\u0301", " ret", "ret", "\x04", *EDGES):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert not tokenizer.special_ids.intersection(ids)
        assert tokenizer.special_id("<tool_call>") not in ids
    assert tokenizer.decode(tokenizer.encode("<tool_call>x<|im_end|>", special=True)) == "<tool_call>x"
    assert tokenizer.encode("\u20dd\u20dd") == [256 + 2 + 3], "other added tokens keep their ids"


def test_files_with_byte_fallback(tmp_path: Path) -> None:
    """Llama 2's form: blanks as ▁, a dummy blank before the text, unknown characters as bytes."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "a", "b", "▁a"]
    spec = {
        "added_tokens": [{"id": i, "content": tokens[i], "special": True} | dict.fromkeys(
            ("single_word", "lstrip", "rstrip", "normalized"), False) for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {}},
        "decoder": {"type": "ByteFallback"},
        "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": [["▁", "a"]]},
    }  # fmt: skip
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(spec))
    tokenizer = Tokenizer.from_file(path, {"eos_token": "</s>"})
    assert tokenizer.bos_id == 1
    assert tokenizer.adds_bos
    assert tokenizer.eos_ids == {2}
    for text in (*EDGES, "a a", " a", "<s>"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert not tokenizer.special_ids.intersection(tokenizer.encode(text))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"model": {"type": "WordPiece", "vocab": {"a": 0}}}', "only BPE and Unigram"),
        ('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}', "neither byte-level"),
        ('{"model": {"vocab": {"a": 99999999999}, "merges": []}, "decoder": {"type": "ByteLevel"}}', "16 million"),
        ('{"model": {"vocab": {}, "merges": []}, "decoder": {"type": "ByteLevel"}}', "no vocabulary"),
    ],
)  # fmt: skip
def test_a_damaged_tokenizer_file_is_named(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(BadWeights, match=reason) as error:
        Tokenizer.from_file(path)
    assert str(path) in str(error.value)


def test_a_missing_tokenizer_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"none\.json cannot be read"):
        Tokenizer.from_file(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("model", "llama", "only byte-level BPE"),
        ("pre", "made-up", "word splitter 'made-up'"),
        ("tokens", ["a"], "token types"),
        ("tokens", None, "damaged"),
        ("merges", ["no-blank"], "damaged"),
        ("merges", ["nothing known"], "damaged"),
        ("eos_token_id", 10**6, "outside the vocabulary"),
    ],
)
def test_a_gguf_with_a_wrong_tokenizer_is_refused(
    embedded_metadata: dict[str, object], key: str, value: object, reason: str
) -> None:
    with pytest.raises(BadWeights, match=reason):
        Tokenizer.from_gguf({**embedded_metadata, f"tokenizer.ggml.{key}": value})


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_mangled_tokenizer_file_never_does_worse_than_an_error(tmp_path_factory, make_tokenizer, randoms) -> None:  # type: ignore[no-untyped-def]
    source = make_tokenizer({"<|im_end|>": True}, ["a b"]).to_json()
    at = randoms.randrange(len(source))
    mangled = (
        source[:at] + randoms.choice(["", "0", '"', "[", "null", "-1", "}"]) + source[at + randoms.randrange(40) :]
    )
    path = tmp_path_factory.getbasetemp() / "mangled.json"
    path.write_text(mangled)
    try:
        tokenizer = Tokenizer.from_file(path)
    except BadWeights:
        return
    tokenizer.encode("ab <|im_end|>")


def test_the_vocabulary_finds_tokens_by_their_bytes(embedded: Tokenizer) -> None:
    every = {i: embedded.token_bytes(i) for i in range(embedded.vocab_size)}
    for prefix in (b"re", b"\n    ", b"\xf0\x9f", b"\xff", b"no such token"):
        expected = {i for i, piece in every.items() if piece.startswith(prefix)}
        assert set(embedded.vocabulary.starting_with(prefix).tolist()) == expected
        assert set(embedded.vocabulary.equal_to(prefix).tolist()) == {i for i, p in every.items() if p == prefix}
    between = {i for i, piece in every.items() if piece >= b"a/" and piece[:2] <= b"a9"}
    assert set(embedded.vocabulary.between(b"a/", b"a9").tolist()) == between

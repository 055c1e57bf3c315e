"""Instructions as tokens: English and Chinese words reduced to concepts (``lexicon.toml``), literals as they are."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from famulus.jupyter_kernel.lexeme import FULL, NOISE, WEAK, Token
from famulus.jupyter_kernel.numerals import CHINESE_NUMBER, CHINESE_SCALES, chinese_number, number_value, number_words
from famulus.jupyter_kernel.spelt_dates import SPELT, iso

FILE_ENDINGS = (
    "csv|tsv|jsonl|json|txt|parquet|xlsx|xls|png|jpeg|jpg|svg|pdf|db|sqlite3|sqlite|md|py|log|xml|html|yaml|yml|toml|zip"
    "|tar|gz|pkl|pickle|npy|npz|feather|arrow|ini|cfg|dat|ipynb|gif|bak|tmp|sql|rst|docx"
)
_TOKEN = re.compile(
    rf"""
    (?P<quoted>"[^"\n]*"|“[^”\n]*”|‘[^’\n]*’|「[^」\n]*」|『[^』\n]*』|《[^》\n]*》|(?<![\w'])'(?:[^'\n]|'(?=\w))*'(?!\w))
    |(?P<code>`[^`\n]+`)
    |(?P<spelt>{SPELT})
    |(?P<date>(?<![\d.])\d{{4}}[-/]\d{{1,2}}(?:[-/]\d{{1,2}})?(?:[ T]\d{{1,2}}:\d\d(?::\d\d)?)?(?![\d/-])
        |\d{{1,2}}:\d\d(?::\d\d)?)
    |(?P<url>https?://[^\s,;，。]+)
    |(?P<path>(?:~|\.{{1,2}})?/?(?:[\w.*-]+/)+[\w.*-]*|[A-Za-z0-9_*?][\w*.-]*\.(?:{FILE_ENDINGS})(?![A-Za-z0-9_]))
    |(?P<literal>\[[^\[\]\n]*\]|\{{[^{{}}\n]*:[^{{}}\n]*\}})
    |(?P<number>(?:(?<![\w\d).])[-−])?(?<![A-Za-z_\d])(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?
        (?:\s?%|(?:st|nd|rd|th)\b)?(?![A-Za-z_]))
    |(?P<word>[^\W\d\u3400-\u9fff][^\W\u3400-\u9fff]*(?:['’](?:t|s|re|ll|ve)\b)?|\d+[A-Za-z_]\w*)
    |(?P<cjk>[\u3400-\u9fff]+)
    |(?P<symbol>>=|<=|==|!=|\*\*|[^\s\w])
    """,
    re.VERBOSE | re.IGNORECASE,
)
# After a lone numeral one of these says that it counts: 三个, 两行.
_MEASURES = frozenset("个行条名位天月年次列倍项种份元岁家张块字小分秒周点到和至的")


@functools.lru_cache(maxsize=20000)
def stem(word: str) -> str:
    """A crude English stem: endings of number and tense go, so that inflected forms of one word meet."""
    word = word.lower()
    for ending in ("'s", "’s"):
        word = word.removesuffix(ending)
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("sses", "ches", "shes", "xes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and re.search("[aeiouy]", word[: -len(ending)]):
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    if len(word) > 3 and word.endswith("y"):
        return word[:-1] + "i"  # city, cities; movie, movies
    # A note is no "not".
    return word[:-1] if len(word) > 3 and word.endswith("e") and word != "note" else word


def name_parts(name: str) -> tuple[str, ...]:
    """The stems in an identifier or a column's name: ``unitPrice_2`` → ``unit pric 2``; Chinese stays whole."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " ", name)
    return tuple(stem(part) for part in re.findall(r"[^\W_\u3400-\u9fff]+|[\u3400-\u9fff]+", spaced))


@dataclass(frozen=True)
class Lexicon:
    """``single`` and ``phrases``: stems → concept. ``chinese``: words to cut by → concept or the word itself.
    ``columns``: a stem or Chinese word → the groups of column names it stands in."""

    single: Mapping[str, str]
    phrases: Mapping[tuple[str, ...], str]
    chinese: Mapping[str, str]
    columns: Mapping[str, frozenset[int]]
    noise: frozenset[str]
    weak: frozenset[str]
    misspelt: Mapping[str, str]


@functools.cache
def lexicon() -> Lexicon:
    """The words of ``lexicon.toml``, read once."""
    data = tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text("utf-8"))
    single: dict[str, str] = {}
    phrases: dict[tuple[str, ...], str] = {}
    chinese: dict[str, str] = {}
    for concept, words in data["concepts"].items():
        for word in words.split(", "):
            if re.search(r"[\u3400-\u9fff]", word):
                chinese.setdefault(word, concept)
                continue
            stems = tuple(stem(part) for part in re.findall(r"[^\s-]+", word))
            if len(stems) == 1:
                single.setdefault(stems[0], concept)
            else:
                phrases.setdefault(stems, concept)
    groups: dict[str, set[int]] = {}
    for number, line in enumerate(data["columns"]["groups"]):
        for word in line.split(", "):
            groups.setdefault(word if word[0] > "\u3400" else " ".join(name_parts(word)), set()).add(number)
    for word in groups:
        if word[0] > "\u3400":
            chinese.setdefault(word, word)
    noise = data["noise"]["words"].split(", ")
    for word in noise:
        if word[0] > "\u3400":
            chinese.setdefault(word, word)
    weak = frozenset(data["noise"]["weak"].split(", "))
    return Lexicon(
        single, phrases, chinese, {word: frozenset(numbers) for word, numbers in groups.items()},
        frozenset(stem(word) if word[0] < "\u3400" else word for word in noise), weak, _misspellings(single),
    )  # fmt: skip


def _misspellings(words: Iterable[str]) -> dict[str, str]:
    """Every way of leaving out one letter of a longer word → the word."""
    found: dict[str, str] = {}
    for word in words:
        if len(word) >= 5:
            for position in range(1, len(word)):
                found.setdefault(word[:position] + word[position + 1 :], word)
    return found


def respell(word: str, known: Mapping[str, str], left_out: Mapping[str, str]) -> str | None:
    """The known word that ``word`` misspells by one letter, or None."""
    if len(word) < 5:
        return None
    if word in left_out:
        return left_out[word]
    for position in range(1, len(word)):
        shorter = word[:position] + word[position + 1 :]
        if shorter in known and len(shorter) >= 5:
            return shorter
        if shorter in left_out and len(left_out[shorter]) == len(word):
            return left_out[shorter]
    return None


def tokens(text: str, names: Iterable[str] = ()) -> tuple[Token, ...]:
    """The tokens of an instruction. ``names`` are the user's identifiers and column names: never split or respelt."""
    own = frozenset(names)
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind, start, end = match.lastgroup or "", match.start(), match.end()
        piece = match.group()
        if kind == "cjk":
            found += _chinese(piece, start, own)
        elif kind == "quoted":
            found.append(Token(piece, start, end, "quoted", piece, FULL, piece[1:-1]))
        elif kind == "code":
            found.append(Token(piece, start, end, "word", piece[1:-1], FULL, piece[1:-1], (piece[1:-1].lower(),)))
        elif kind == "number":
            found.append(Token(piece, start, end, "number", "#", FULL, number_value(piece)))
        elif kind in ("path", "url"):
            piece = piece.rstrip(".")
            found.append(Token(piece, start, start + len(piece), "path", "path", FULL, piece))
        elif kind == "spelt":
            found.append(Token(piece, start, end, "date", "date", FULL, iso(piece)))
        elif kind in ("date", "literal"):
            found.append(Token(piece, start, end, "date" if kind == "date" else "literal", kind, FULL, piece))
        elif kind == "symbol":
            found.append(Token(piece, start, end, "symbol", lexicon().single.get(piece, piece), NOISE))
        elif size := re.fullmatch(r"(\d+)x(\d+)", piece):
            for group in (1, 2):
                first, last = size.span(group)
                value = number_value(size[group])
                found.append(Token(size[group], start + first, start + last, "number", "#", FULL, value))
        else:
            found.append(Token(piece, start, end, "word", "", FULL, piece, (piece.lower(),)))
    return tuple(_weighed(token) for token in _over(_phrases(number_words(found), own)))


def _over(found: list[Token]) -> list[Token]:
    """*over 50* compares, *price over time* does not; *a maximum of 5* compares, *the maximum of price* does not."""
    compared = {"maximum": "le", "minimum": "ge"}
    out = []
    for i, token in enumerate(found):
        follows = [following.kind for following in found[i + 1 : i + 3]]
        if token.key == "over" and follows[:1] == ["number"]:
            token = replace(token, key="gt")
        elif token.text.lower() in compared and follows[1:] == ["number"] and found[i + 1].key == "of":
            token = replace(token, key=compared[token.text.lower()])
        out.append(token)
    return out


def _phrases(found: list[Token], own: frozenset[str]) -> list[Token]:
    """Words of one phrase become one token, the longest phrase first; single words get their concept."""
    known = lexicon()
    stems = [stem(token.text) if token.kind == "word" and not token.key else token.text for token in found]
    out: list[Token] = []
    position = 0
    while position < len(found):
        token = found[position]
        if token.kind != "word" or token.key:
            out.append(token)
            position += 1
            continue
        for length in range(5, 0, -1):
            run = found[position : position + length]
            if len(run) < length or (length > 1 and any(t.kind == "number" for t in run)):
                continue
            if length > 1 and token.text in own and token.text.endswith("s"):
                continue  # "orders by country" speaks of the table orders
            run_stems = tuple(s for s in stems[position : position + length] if s != "-")
            concept = known.phrases.get(run_stems) if length > 1 else _concept(token.text, stems[position], own)
            if concept == "count" and token.text.lower() == "numbers":
                continue  # "the first 3 numbers of xs" counts nothing
            if concept == "header" and run[-1].text.lower() == "name":
                continue  # "the column name" may be the column called name
            if concept is not None:
                last = run[-1]
                parts = tuple(t.text.lower() for t in run)
                text = token.text if length == 1 else " ".join(parts)
                out.append(Token(text, token.start, last.end, "word", concept, FULL, text, parts))
                position += length
                break
    return out


def _concept(text: str, its_stem: str, own: frozenset[str]) -> str:
    known = lexicon()
    if text.lower() == "times" and text not in own:
        return "multiply"
    if its_stem in known.single:
        return known.single[its_stem]
    if text in own or its_stem in known.noise or its_stem in known.columns or not text.isascii():
        return its_stem
    meant = respell(its_stem, known.single, known.misspelt)
    return known.single[meant] if meant else its_stem


def _chinese(run: str, start: int, own: frozenset[str]) -> list[Token]:
    """A run of Chinese characters cut by the longest known words; what is not known comes character by character."""
    known = lexicon().chinese
    found: list[Token] = []
    position = 0
    while position < len(run):
        at = start + position
        numeral = CHINESE_NUMBER.match(run, position)
        length = next((n for n in range(8, 0, -1) if run[position : position + n] in own), 0)
        if not length and numeral and _counts(run, numeral):
            value = str(chinese_number(numeral.group().removeprefix("第")))
            found.append(Token(numeral.group(), at, start + numeral.end(), "number", "#", FULL, value))
            position = numeral.end()
            continue
        length = length or next((n for n in range(8, 0, -1) if run[position : position + n] in known), 1)
        piece = run[position : position + length]
        key = known.get(piece, piece)
        found.append(Token(piece, at, at + len(piece), "word", key, FULL, piece, (piece,)))
        position += len(piece)
    return found


def _counts(run: str, numeral: re.Match[str]) -> bool:
    following = run[numeral.end() : numeral.end() + 1]
    if numeral.group() in ("一", "第一"):
        return numeral.group() == "一" and following in ("百", "千", "万")
    if numeral.group()[0] in CHINESE_SCALES and numeral.group()[0] != "十":
        return False
    return len(numeral.group()) > 1 or following in _MEASURES or not following


def _weighed(token: Token) -> Token:
    known = lexicon()
    if token.kind != "word":
        return token
    weight = token.weight
    if token.key in known.weak:
        weight = WEAK
    elif token.key in known.noise or token.text.lower() in known.noise:
        weight = NOISE
    elif len(token.text) == 1 and token.text > "\u3400" and token.key == token.text:
        weight = 0.5
    return Token(token.text, token.start, token.end, token.kind, token.key, weight, token.value, token.parts)

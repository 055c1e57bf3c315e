"""Numbers as people write them: *1,000*, *30%*, *3rd*, *twenty five*, *two hundred*, 两百五十, 第三."""

from __future__ import annotations

import re

from famulus.jupyter_kernel.lexeme import FULL, WEAK, Token

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]
_SMALL += ["seventeen", "eighteen", "nineteen"]
_NUMBER_WORDS = {word: value for value, word in enumerate(_SMALL)} | {"dozen": 12}
_TENS = {
    word: 10 * value
    for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
_ORDINALS = {
    word: value
    for value, word in enumerate(
        ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"],
        start=2,
    )
}
_CHINESE_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10000, "亿": 10**8}
CHINESE_NUMBER = re.compile(r"第?[零〇一二两三四五六七八九十百千万亿]+")


def number_value(text: str) -> str:
    """Python's spelling of a number as written: ``1,000`` → ``1000``, ``30%`` → ``30%``, ``3rd`` → ``3``."""
    text = text.replace(",", "").replace("−", "-").replace(" ", "")
    text = re.sub(r"(st|nd|rd|th)$", "", text, flags=re.IGNORECASE)
    return re.sub(r"^(-?)0+(?=\d)", r"\1", text)


def number_words(found: list[Token]) -> list[Token]:
    """Runs such as *twenty five* or *two hundred* become one number; *second* and *third* too, *one* never alone."""
    out: list[Token] = []
    position = 0
    while position < len(found):
        total, current, end = 0, 0, position
        while end < len(found) and found[end].kind == "word":
            word = found[end].text.lower()
            if word in _NUMBER_WORDS or word in _TENS:
                if (
                    end > position
                    and found[end - 1].text.lower() not in _TENS
                    and found[end - 1].text.lower() not in _SCALES
                ):
                    break
                current += _NUMBER_WORDS.get(word, 0) + _TENS.get(word, 0)
            elif word in _SCALES and end > position:
                current *= _SCALES[word]
                if _SCALES[word] >= 1000:
                    total, current = total + current, 0
            elif word in _SCALES and position and found[position - 1].text.lower() in ("a", "one"):
                current = _SCALES[word]
            else:
                break
            end += 1
            if end < len(found) and found[end].text == "-" and found[end - 1].text.lower() in _TENS:
                end += 1
        value = total + current
        if end > position:
            first, last = found[position], found[end - 1]
            if end == position + 1 and first.text.lower() == "one":
                out.append(first)
            else:
                text = first.text if first is last else f"{first.text} {last.text}"
                out.append(Token(text, first.start, last.end, "number", "#", FULL, str(value), (first.text.lower(),)))
            position = end
            continue
        token = found[position]
        if token.kind == "word" and token.text.lower() in _ORDINALS:
            value = _ORDINALS[token.text.lower()]
            token = Token(token.text, token.start, token.end, "number", "#", WEAK, str(value), token.parts)
        out.append(token)
        position += 1
    return out


def chinese_number(text: str) -> int:
    """The value of a Chinese numeral: 两百五十 → 250, 一万二千 → 12000."""
    total, section, digit = 0, 0, 0
    for character in text:
        if character in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[character]
        elif CHINESE_SCALES[character] >= 10000:
            total, section, digit = (total + section + digit) * CHINESE_SCALES[character], 0, 0
        else:
            section, digit = section + (digit or 1) * CHINESE_SCALES[character], 0
    return total + section + digit

"""What must not be told to a model: secrets and personal data, known by the name of a column or by its values.

A name is read as people read compounds, by its last word: ``customer_email`` holds addresses, ``email_count`` counts
them. Values are matched in bounded samples, with check digits where the kind has them. What is private gives its type
and the shape of its values (``aaa@aaa.aa``), a secret not even that. Standard library only; no expression backtracks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from famulus.jupyter_kernel.schema import Element

LONGEST = 400
"""Characters of a text that are looked at, and of all texts of a column together. Far fewer are ever told."""

SHORTEST, KEY = 6, 20
"""Characters of the shortest private value that can be told by its form, and of one without digits and marks."""

SECRET = "may be a secret"
CONTACT = "may be contact data"
PERSON = "may name a person"
IDENTITY = "may identify a person"
ACCOUNT = "may be an account or card number"
ADDRESS = "may be a network address"

_HEADS: dict[str, tuple[str, ...]] = {
    SECRET: (
        "password", "passwort", "kennwort", "passwd", "pwd", "passphrase", "passcode", "secret", "credential", "token",
        "api key", "apikey", "api secret", "private key", "secret key", "access key", "auth key", "encryption key",
        "signing key", "ssh key", "account key", "cookie", "otp", "pin", "pin code", "cvv", "cvc", "security code",
        "connection string", "authorization", "bearer", "contraseña", "mot de passe",
    ),
    CONTACT: (
        "email", "e mail", "mail", "phone", "telephone", "tel", "mobile", "cellphone", "cell phone", "fax", "whatsapp",
        "wechat", "address", "street", "street name", "addr", "adresse", "straße", "strasse", "telefon", "teléfono",
        "téléphone", "correo", "dirección",
    ),
    PERSON: (
        "first name", "last name", "firstname", "lastname", "middle name", "surname", "forename", "given name",
        "family name", "full name", "fullname", "maiden name", "nickname", "username", "user name", "customer name",
        "client name", "patient name", "employee name", "student name", "teacher name", "person name", "contact name",
        "member name", "passenger name", "guest name", "owner name", "doctor name", "manager name", "vorname",
        "nachname", "apellido", "prénom",
    ),
    IDENTITY: (
        "ssn", "social security", "social insurance", "national id", "identity card", "id card", "passport",
        "tax id", "taxpayer id", "nino", "aadhaar", "cpf", "dni", "personal id", "driver license", "drivers license",
        "driver licence", "driving licence", "medical record", "mrn", "dob", "date of birth", "birth date", "birthdate",
        "birthday", "birth day", "geburtsdatum", "fecha de nacimiento",
    ),
    ACCOUNT: (
        "iban", "card number", "credit card", "debit card", "card no", "cc number", "ccnum", "bank account",
        "account number", "account no", "acct number", "acct no",
    ),
    ADDRESS: ("ip", "ip address", "ipaddr", "ipaddress", "ipv", "remote addr", "mac address"),
}  # fmt: skip
"""Last words of names, by what the column then may hold."""

_TAILS = frozenset(("address", "addr", "number", "no", "nr", "num", "id", "value", "hash", "hashed", "plain", "text"))
"""Words behind a head that leave its meaning: ``phone_number``, ``password_hash``."""

_CHINESE: dict[str, str] = {
    SECRET: "密码|口令|密钥|秘钥|令牌|私钥|验证码|安全码",
    CONTACT: "手机|电话|联系方式|联系电话|邮箱|电邮|电子邮件|邮件|微信|QQ|地址|住址|传真",
    PERSON: "姓名|名字|姓氏|昵称|用户名|联系人|收件人|收货人|客户名|客户名称|持卡人|法人",
    IDENTITY: "身份证|身份证件|证件|护照|社保|社保卡|驾驶证|学号|工号|病历|出生日期|出生年月日|出生年月|生日",
    ACCOUNT: "银行卡|信用卡|银行账|银行账户|卡|账|帐",
    ADDRESS: "IP|IP地址|ip地址|MAC地址",
}
"""The same in Chinese, where a compound ends in its head as well."""

_HEAD = {head: reason for reason, heads in _HEADS.items() for head in heads}
_HAN = re.compile(
    "|".join(f"(?P<r{i}>(?:{words})(?:号码|号|地址|账号|信息)?)$" for i, words in enumerate(_CHINESE.values()))
)
_HAN_BARE = frozenset(("卡", "账", "帐", "卡信息", "账信息", "帐信息", "卡地址", "账地址", "帐地址", "网络地址"))
_REASONS = tuple(_CHINESE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-zß-ÿ]+")
_NUMERIC = frozenset(
    ("phone", "telephone", "tel", "cellphone", "cell phone", "fax", "pin", "pin code", "otp", "cvv", "cvc",
     "security code", "passcode", "passwd", "password", "pwd")
)  # fmt: skip
"""Heads that a number may be as well: ``token: 512`` is a count, ``phone: 4930123456`` is none."""

_PEOPLE = frozenset(("age", "gender", "sex", "salary", "年龄", "性别", "工资", "薪资"))
"""Names of columns beside which a plain ``name`` is that of a person."""


@lru_cache(8192)
def by_name(name: str, kind: Element = "text", people: bool = False) -> str:
    """Why values under this name may not be told, or "".

    ``kind`` is theirs: yes and no tell nothing, and numbers only under some names. ``people`` says that other columns
    beside this one speak of persons (:func:`of_people`), so that ``name`` is a person's.
    """
    if kind == "bool" or len(name) > 200:
        return ""
    if not name.isascii() and (reason := _in_chinese(name.strip(), kind)):
        return reason
    words = [word.lower() for word in _WORD.findall(name)]
    if people and kind == "text" and (words == ["name"] or name.strip() in ("名称", "名")):
        return PERSON
    while words:
        for count in (3, 2, 1):
            if reason := _head(" ".join(words[-count:]) if count <= len(words) else "", kind):
                return reason
        if len(words) == 1 or words[-1] not in _TAILS:
            return ""
        words.pop()
    return ""


def of_people(names: Iterable[str]) -> bool:
    """Do columns of these names speak of persons?"""
    return any(name.strip().lower() in _PEOPLE or by_name(name) in (CONTACT, PERSON, IDENTITY) for name in names)


def _head(words: str, kind: Element) -> str:
    reason = _HEAD.get(words, "")
    if not reason and kind != "number" and words.endswith("s") and words != "tokens":
        reason = _HEAD.get(words.removesuffix("s"), "") or _HEAD.get(words.removesuffix("es"), "")
    if kind == "number" and reason in (SECRET, CONTACT, PERSON) and words not in _NUMERIC:
        return ""
    if kind == "time" and reason != IDENTITY:
        return ""
    return reason


def _in_chinese(name: str, kind: Element) -> str:
    found = _HAN.search(name)
    if not found or found.group() in _HAN_BARE:
        return ""
    if kind == "number" and not found.group().endswith(("号", "号码", "电话", "密码", "验证码", "安全码")):
        return ""
    reason = _REASONS[int((found.lastgroup or "r0")[1:])]
    return "" if kind == "time" and reason != IDENTITY else reason


_VALUES = re.compile(
    r"""
      (?P<secret>
          -----BEGIN[ ][A-Z ]{0,30}PRIVATE[ ]KEY
        | \beyJ[\w-]{8,400}\.[\w-]{4,}\.[\w-]*                                    # JSON web token
        | \b(?:sk|pk|rk)[-_](?:[a-z]{2,8}[-_])?[\w-]{16,}
        | \b(?:ghp|gho|ghu|ghs|ghr|github_pat|glpat|hf|npm|pypi|xox[abprs]|shpat|dop_v1|SG)[-_.][\w.-]{16,}
        | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b | \bAIza[\w-]{30,}
        | \b[a-z][a-z0-9+]{1,15}://[^\s:/@]{0,60}:[^\s/@]{1,100}@                 # address with a password
        | [?&;](?:token|key|api_key|apikey|access_token|secret|password|sig|signature)=[^\s&;]{6,}
        | \b(?i:password|passwd|pwd|secret|api[-_]?key|accountkey)\s?[=:]\s?[^\s,;]{4,}
        | \b[Bb]earer\s[\w.~+/-]{16,}
        | \b[0-9a-f]{32,128}\b | \b[0-9A-F]{32,128}\b
      )
    | (?P<email> [\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5} )
    | (?P<iban> \b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?\b )
    | (?P<china> \b\d{17}[\dXx]\b )
    | (?P<card> \b[2-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}\b | \b3[47]\d{2}[ -]?\d{6}[ -]?\d{5}\b )
    | (?P<ssn> \b\d{3}-\d{2}-\d{4}\b )
    | (?P<ip> \b(?:\d{1,3}\.){3}\d{1,3}\b | (?<![\w:])[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{0,4}){3,7}(?![\w:]) )
    | (?P<phone>
          \+\d{1,3}[ -]?(?:\(\d{1,4}\)[ -]?)?\d(?:[ -]?\d){5,12}\b
        | (?<!\w)\(\d{2,5}\)[ -]?\d{2,4}(?:[ -]?\d{2,4}){1,3}\b
        | \b\d{3}[ -.]\d{3}[ -.]\d{4}\b
        | \b1[3-9]\d{9}\b
      )
    """,
    re.VERBOSE,
)
_FOUND = {
    "secret": SECRET, "email": CONTACT, "phone": CONTACT, "iban": ACCOUNT, "card": ACCOUNT, "china": IDENTITY,
    "ssn": IDENTITY, "ip": ADDRESS,
}  # fmt: skip
_TELLING = re.compile(r"[\d@:=+]")
_KEYLIKE = re.compile(r"(?<![\w/.+-])[A-Za-z0-9_+/-]{24,200}={0,2}(?![\w/.+-])")
_RUN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")


def in_text(text: str) -> str:
    """Why a text may not be told, or "". Of a long text the first :data:`LONGEST` characters are looked at."""
    text = text[:LONGEST]
    if len(text) < SHORTEST or (len(text) < KEY and not _TELLING.search(text)):
        return ""
    for found in _VALUES.finditer(text):
        kind = found.lastgroup or ""
        if _holds(kind, found.group()):
            return _FOUND[kind]
    return SECRET if any(_drawn(found.group()) for found in _KEYLIKE.finditer(text)) else ""


def hide(text: str) -> str:
    """``text`` with what may not be told replaced by the names of its kinds: ``<email>``, ``<secret>``."""

    def named(found: re.Match[str]) -> str:
        kind = found.lastgroup or ""
        return f"<{'id' if kind in ('china', 'ssn') else kind}>" if _holds(kind, found.group()) else found.group()

    def drawn(found: re.Match[str]) -> str:
        return "<secret>" if _drawn(found.group()) else found.group()

    return _KEYLIKE.sub(drawn, _VALUES.sub(named, text))


def by_values(values: Sequence[object]) -> str:
    """Why a column with these values may not be told, or "": at least a quarter of its texts is private, or most of
    its whole numbers are card or telephone numbers. Only ``str`` and ``int`` themselves are looked at."""
    texts: list[str] = []
    room = LONGEST
    for value in values:
        if type(value) is str and room > 0:
            texts.append(value[:room])
            room -= len(value)
    if texts:
        reasons = Counter(filter(None, map(in_text, texts)))
        return reasons.most_common(1)[0][0] if reasons.total() * 4 >= len(texts) else ""
    numbers = [value for value in values if type(value) is int]
    if numbers and all(9_999_999_999 < number < 10**19 for number in numbers):
        reasons = Counter(filter(None, (in_text(str(number)) for number in numbers)))
        return reasons.most_common(1)[0][0] if reasons.total() * 5 >= len(numbers) * 4 else ""
    return ""


def counts(values: Sequence[object]) -> bool:
    """Are these numbers too small or too fine to be those of telephones, cards or codes, whatever their name says?"""
    numbers = [value for value in values if type(value) is int or type(value) is float]
    return len(numbers) == len(values) and all(-100 < number < 100 or number % 1 for number in numbers)


def pattern(values: Iterable[str], reason: str) -> str:
    """The most frequent shape of private values, with no more than three letters in a row; "***" for a secret."""
    if reason == SECRET:
        return "***"
    shapes = Counter(_shape(value) for value in values)
    return shapes.most_common(1)[0][0] if shapes else ""


def _shape(value: str) -> str:
    shape = "".join("9" if c.isdigit() else "a" if c.isalpha() else c if c in " @.-+:/()" else "?" for c in value[:60])
    return re.sub(r"a{4,}", "aaa", re.sub(r"\?+", "?", shape))[:30]


def _holds(kind: str, text: str) -> bool:
    """Is it what it looks like, going by its check digits or the range of its parts?"""
    digits = [int(character) for character in text if character.isascii() and character.isdigit()]
    if kind == "card":
        doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
        return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
    if kind == "iban":
        plain = text.replace(" ", "")
        return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1
    if kind == "china":
        weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
        total = sum(weight * int(character) for weight, character in zip(weights, text, strict=False))
        return "10X98765432"[total % 11] == text[-1].upper()
    if kind == "ip" and "." in text:
        return all(int(part) < 256 for part in text.split("."))
    return True


def _drawn(text: str) -> bool:
    """Does it look drawn by lot? Letters of both cases and digits change places more often than in names."""
    if text.islower() or text.isupper() or not any(map(str.isdigit, text)):
        return False
    return len(_RUN.findall(text)) * 5 >= len(text) * 2

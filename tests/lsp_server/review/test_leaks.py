"""Secrets and invisible characters that a change adds, and all that only looks like them."""

from __future__ import annotations

from typing import Any

import pytest

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.comparison import Asked, compared
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.rule import Context
from famulus.lsp_server.review.rules.leaks import RULE

RANDOM = "q7Zp2LxV9tR4mK8wYc3NbJ6hGd5sFa1uEo0iTkXv"
"""Forty characters that nobody's service gave out."""
MIXED = "".join(RANDOM[n % 40] for n in range(0, 900, 7))


def found(new: str, old: str = "", path: str = "app/config.py") -> list[Finding]:
    change = between(Memory({path: old.encode()} if old else {}), Memory({path: new.encode("utf-8", "surrogatepass")}))
    return list(RULE.check(Context(change)))


TOKENS = {
    "github-token": "ghp_" + RANDOM[:36],
    "gitlab-token": "glpat-" + RANDOM[:20],
    "aws-key": "AKIA" + "Q7ZP2LXVTR4MKWYC",
    "slack-token": "xoxb-" + "294857201938-" + RANDOM[:24],
    "stripe-key": "sk_" + "live_" + RANDOM[:24],
    "google-key": "AIza" + RANDOM[:35],
    "huggingface-token": "hf_" + RANDOM[:34],
    "npm-token": "npm_" + RANDOM[:36],
    "sendgrid-key": "SG." + RANDOM[:22] + "." + MIXED[:43],
    "telegram-token": "9182736450:AA" + RANDOM[:33],
    "azure-key": "AccountKey=" + MIXED[:86] + "==",
    "anthropic-key": "sk-ant-api03-" + MIXED[:90],
    "package-index-token": "pypi-AgE" + MIXED[:80],
}
"""Made here in pieces, so that nobody takes this file for a leak."""


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_of_a_known_form_is_found_and_never_repeated(kind: str) -> None:
    token = TOKENS[kind]
    [finding] = found(f"import os\nclient = connect('{token}')\n")
    assert finding.rule == f"secrets/{kind}"
    assert (finding.place.line, finding.certainty) == (2, "certain")
    line = f"client = connect('{token}')"
    assert line[finding.place.column - 1 : (finding.place.end_column or 0) - 1] == token
    assert token not in str(finding.as_json())
    assert token[12:] not in str(finding.as_json())


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f'API_KEY = "{RANDOM}"', "random-value"),
        (f"client_secret: '{RANDOM}'", "random-value"),
        (f'"password": "{RANDOM[:24]}",', "random-value"),
        (f'auth_token: str = "{RANDOM}"', "random-value"),
        (f'os.environ["SECRET_KEY"] = "{RANDOM}"', "random-value"),
        (f'DB = "postgres://app:{RANDOM[:14]}@db.company.org/x"', "password-in-address"),
    ],
)
def test_a_random_value_under_a_secret_name_is_found(line: str, kind: str) -> None:
    [finding] = found(line + "\n")
    assert finding.rule == f"secrets/{kind}"
    assert finding.certainty == "likely"
    assert RANDOM[:14] not in str(finding.as_json())


@pytest.mark.parametrize("path", ["deploy/app.yml", "Dockerfile", ".env.sample", "run.sh", "app.properties", "m.py"])
def test_values_without_quotes_count_where_no_code_can_stand_in_their_place(path: str) -> None:
    name = "password: " if path.endswith(".yml") else "ENV API_KEY=" if path == "Dockerfile" else "API_KEY="
    findings = found(f"{name}{RANDOM}\n", path=path)
    assert [finding.rule for finding in findings] == ([] if path == "m.py" else ["secrets/random-value"])
    assert found(f"{name}$(vault read -field=key secret/app1)\n", path=path) == []
    assert found(f"{name}my-service-token-of-stage-2024\n", path=path) == []


@pytest.mark.parametrize("head", ["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY"])
def test_a_private_key_is_found_with_its_body(head: str) -> None:
    begin = f"-----BEGIN {head}-----"
    [finding] = found(f"{begin}\n{MIXED[:64]}\n", path="deploy/notes.txt")
    assert finding.rule == "secrets/private-key"
    [finding] = found(f'KEY = "{begin}\\n{MIXED[:64]}\\n"\n')
    assert finding.place.end_column == len(f'KEY = "{begin}\\n{MIXED[:64]}\\n"') + 1
    assert found(f"if line == '{begin}':\n    read_key()\n") == []


@pytest.mark.parametrize(
    "line",
    [
        'password = "changeme-changeme-changeme"',
        'token = os.environ["GITHUB_TOKEN"]',
        'secret_name = "production/database/password"',
        'token_url = "https://login.example.com/oauth2/v2.0/token"',
        'API_KEY = "your-api-key-goes-here-1234567890"',
        'api_key = "${API_KEY_FROM_THE_ENVIRONMENT_1}"',
        f'checksum = "{RANDOM}"',
        'token_type = "urn:ietf:params:oauth:token-type:jwt"',
        'password_hash_algorithm = "pbkdf2_sha256_iterations"',
        'aws_key = "AKIA' + 'IOSFODNN7EXAMPLE"',
        'token = "ghp_' + "x" * 36 + '"',
        'tokenizer = "SmolLM2-135M-Instruct-GGUF-Q4_K_M"',
        'KEY = "aaaaaaaaaaaaaaaaaaaaaaaa1"',
        'url = "postgres://user:password@localhost:5432/db"',
        'url = "https://git@host.org:8080/path@1.0"',
        'primary_key="customer_identifier_2024_v2"',
        'secret = "correct horse battery staple 42"',
        'description = "The token of the next page, 20 characters"',
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(line: str) -> None:
    assert found(line + "\n") == []


def test_what_was_there_before_or_only_moved_is_not_this_changes_doing() -> None:
    line = f'TOKEN = "{TOKENS["github-token"]}"\n'
    assert found(f"{line}x = 2\n", f"{line}x = 1\n") == []
    assert found(f"if a:\n    {line}", line) == []
    moved = between(Memory({"a.py": line.encode()}), Memory({"b.py": line.encode()}))
    assert list(RULE.check(Context(moved))) == []
    assert len(found(f"x = 1\n{line}", "x = 1\n")) == 1


def test_random_values_of_tests_and_of_lock_files_are_left_alone() -> None:
    line = f'"token": "{RANDOM}"\n'
    assert [
        bool(found(line, path=p)) for p in ("tests/test_a.py", "package-lock.json", "a/fixtures/x.json", "a/b.json")
    ] == [
        False,
        False,
        False,
        True,
    ]
    assert found(f'x = "{TOKENS["github-token"]}"\n', path="tests/test_a.py") != []


# -- invisible characters


@pytest.mark.parametrize(
    ("line", "kind", "name"),
    [
        ('access = "user\u202e \u2066// admins only\u2069 \u2066"', "bidi", "U+202E right-to-left override"),
        ("if is_admin\u200b(user):", "width", "U+200B zero width space"),
        ("pass\u200dword = 1", "width", "zero width joiner"),
        ("x = 1\u00ad", "width", "soft hyphen"),
        ("# \U000e0049\U000e0067\U000e006e\U000e006f\U000e0072\U000e0065", "hidden", "tag latin"),
        ("x = 'a\U000e0110\U000e0121'", "hidden", "variation selector"),
    ],
)
def test_characters_that_nobody_sees_are_found_and_named(line: str, kind: str, name: str) -> None:
    findings = found(f"y = 1\n{line}\n", "y = 1\n")
    assert {finding.rule for finding in findings} == {f"secrets/invisible-{kind}"}
    assert name in findings[0].proof.text
    assert findings[0].place.line == 2
    assert found(f"{line}\nz = 1\n", f"{line}\n") == []


@pytest.mark.parametrize(
    "line",
    [
        "# Grüße, 你好, שלום, \u0645\u0631\u062d\u0628\u0627",
        "family = '\U0001f468\u200d\U0001f469\u200d\U0001f467'",
        "flag = '\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f'",
        "heart = '\u2764\ufe0f'",
        "word = '\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645'",
        "name = '\u05d0\u200e'",
        "kanji = '\u8fbb\U000e0100'",
        "names = re.compile('[a-z\U000e0100-\U000e01ef]')",
    ],
)
def test_what_scripts_and_emoji_need_is_left_alone(line: str) -> None:
    assert found(line + "\n") == []


def test_data_of_tests_may_hold_what_the_code_has_to_bear() -> None:
    line = 'x = "user\u202e"\n'
    assert found(line, path="tests/cases.json") == [] and found(line, path="tests/cases.py") != []
    assert found(f"if y:\n    {line}", f"{line}") == []


def test_prose_in_a_right_to_left_script_may_isolate() -> None:
    line = "\u2067\u05e9\u05dc\u05d5\u05dd\u2069 means peace\n"
    assert found(line, path="docs/he.md") == []
    assert found(f"x = '{line.strip()}'\n") != []


# -- files


def test_a_new_file_that_is_secret_by_its_name_is_named_without_being_read(repo: Any) -> None:
    repo.commit({"a.py": "1\n", "old/.env": "K=1\n", ".gitignore": "ignored/\n"})
    repo.write({".env": "K=1\n", "old/.env": "K=2\n", "ignored/.env": "K=1\n", ".env.example": "K=\n"})
    repo.write({"tests/.env": "K=1\n", "certs/ca.pem": "c\n", "ops/id_rsa": "k\n"})
    with compared(Asked(folder=repo.path)) as seen:
        findings = list(RULE.check(Context(seen.change)))
    assert sorted(finding.place.path for finding in findings) == [".env", "ops/id_rsa"]
    assert (
        findings[0].message == ".env would be published, and it holds environment variables, which are often secrets."
    )

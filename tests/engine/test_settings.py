"""Settings come from one file, mistakes in it are named, and the environment takes no part."""

from __future__ import annotations

from pathlib import Path

import pytest

from famulus.engine.settings import FILE, InvalidSettings, Settings, load_settings


def written(tmp_path: Path, text: str | bytes) -> Path:
    file = tmp_path / "famulus.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_no_file_means_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path))
    for name in ("MODEL", "THREADS", "model", "threads", "FAMULUS_MODEL", "FAMULUS_THREADS"):
        monkeypatch.setenv(name, "7")
    assert load_settings() == Settings()
    assert Settings().model == ""


def test_the_file_below_famulus_home_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / FILE).write_text('model = "qwen2.5-coder-7b"\nthreads = 3\n')
    found = load_settings()
    assert (found.model, found.threads) == ("qwen2.5-coder-7b", 3)


def test_the_command_line_wins_and_what_it_leaves_open_does_not(tmp_path: Path) -> None:
    file = written(tmp_path, 'model = "a"\nthreads = 3\n')
    found = load_settings(file, threads=5, model=None)
    assert (found.model, found.threads) == ("a", 5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('threads = "3"', "threads = '3'"),
        ("threads = -1", "threads = -1"),
        ("threads = 2.5", "threads = 2.5"),
        ("threads = true", "threads = True"),
        ('device = "tpu"', "'auto', 'cpu' or 'cuda'"),
        ("modle = 'x'", "unknown key 'modle'. Did you mean 'model'?"),
        ("zzz = 1", "Known keys: model, device"),
        ("[model]\nx = 1", "model = {'x': 1}"),
        ("threads =", "not valid TOML"),
        ("a = 1\na = 2", "not valid TOML"),
        (b"model = '\xff'", "not valid TOML"),
        ("kv_cache_tokens = 99999999999999999999999", "kv_cache_tokens"),
    ],
)
def test_every_mistake_names_file_and_key_in_one_sentence(tmp_path: Path, text: str | bytes, says: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(InvalidSettings) as caught:
        load_settings(file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_option_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "threads = 1")
    with pytest.raises(InvalidSettings, match=r"^The option threads = -4") as caught:
        load_settings(file, threads=-4)
    assert str(file) not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        load_settings(tmp_path)

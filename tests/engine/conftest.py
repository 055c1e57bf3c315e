"""Engines for the tests of processes and sockets: the real server and worker around a stand-in core."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from famulus.engine import launch
from famulus.engine.client import Client
from famulus.engine.folders import folders
from famulus.engine.gguf import GGUF
from famulus.engine.runtime import Address, RuntimeFiles, runtime_files
from famulus.engine.text import Tokenizer

STAND_IN = Path(__file__).parent / "stand_in_core.py"


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until ``condition`` holds; returns the seconds it took, fails after ``seconds``."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            pytest.fail(f"{what}: not within {seconds} s")
        time.sleep(0.01)
    return time.monotonic() - start


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests marked ``anyio`` run on asyncio, as the engine does."""
    return "asyncio"


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], bool], float, str], float]:
    """:func:`wait_until` for tests: ``eventually(condition, seconds, what)``."""
    return wait_until


class Running:
    """A served engine below its own home."""

    def __init__(self, home: Path, process: subprocess.Popen[bytes]) -> None:
        self.home, self.process = home, process
        self.files: RuntimeFiles = runtime_files(folders(home))

    @property
    def address(self) -> Address:
        return Address(socket=str(self.files.socket))

    @property
    def client(self) -> Client:
        return Client(self.address)

    @property
    def token(self) -> str:
        return self.files.token.read_text()

    @property
    def port(self) -> int:
        port = self.client.status()["port"]
        assert isinstance(port, int)
        return port

    def http(self, timeout: float = 20.0) -> httpx.Client:
        """A foreign HTTP client over the Unix socket."""
        transport = httpx.HTTPTransport(uds=str(self.files.socket))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=timeout)

    def worker_pid(self) -> int:
        pid = self.client.status()["worker_pid"]
        assert isinstance(pid, int)
        return pid


def begin(folder: Path, number: int, core: str, *arguments: str) -> Running:
    """Start a real server around a stand-in core, at its own home below ``folder``, logging to ``engineN.log``."""
    home, log = folder / f"home{number}", folder / f"engine{number}.log"
    command = [sys.executable, "-P", "-m", "famulus.engine", "--core", f"{STAND_IN}:{core}", *arguments]
    with open(log, "wb") as stderr:
        environment = {"FAMULUS_HOME": str(home), "PATH": "/usr/bin:/bin"}
        process = subprocess.Popen(command, stderr=stderr, env=environment)
    wait_until(lambda: launch.find(home) is not None or process.poll() is not None, 20, "the engine listens")
    assert process.poll() is None, log.read_text()
    return Running(home, process)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts engines: ``serve("Slow", "--port", "0")``; each has its own home and is ended with the test."""
    started: list[Running] = []

    def start(core: str = "Core", *arguments: str, ready: bool = True) -> Running:
        running = begin(tmp_path, len(started), core, *arguments)
        started.append(running)
        if ready:
            running.client.models()
        return running

    yield start
    for running in started:
        running.process.terminate()
    for running in started:
        running.process.wait(15)


@pytest.fixture(scope="session")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One quick engine for all tests that leave it as it was."""
    running = begin(tmp_path_factory.mktemp("steady"), 0, "Core")
    running.client.models()
    yield running
    status = running.client.status()
    running.process.terminate()
    running.process.wait(15)
    assert (status["restarts"], status["open_requests"]) == (0, 0), "somebody disturbed the shared engine"


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The neighbour ``tiny_models``: random models on disk. importlib mode keeps this folder off ``sys.path``."""
    spec = importlib.util.spec_from_file_location("tiny_models", Path(__file__).with_name("tiny_models.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_models"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def embedded_gguf() -> Path:
    """The embedded model's file, where ``make tour`` puts it."""
    folder = Path(sys.prefix) / "share/famulus/models/smollm2-135m-instruct"
    found = sorted(folder.glob("*.gguf"))
    if not found:
        pytest.skip(f"the embedded model is not in {folder} (run `make tour`)")
    return found[0]


@pytest.fixture(scope="session")
def embedded_metadata(embedded_gguf: Path) -> dict[str, object]:
    """The metadata of the embedded model's file."""
    return dict(GGUF(embedded_gguf).metadata)


@pytest.fixture(scope="session")
def embedded(embedded_metadata: dict[str, object]) -> Tokenizer:
    """The embedded model's tokenizer."""
    return Tokenizer.from_gguf(embedded_metadata)


MakeTokenizer = Callable[..., Tokenizer]


@pytest.fixture(scope="session")
def make_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> MakeTokenizer:
    """Makes small byte-level tokenizers in the form of Qwen's: ``make_tokenizer({"<|im_end|>": True}, **config)``.

    The first argument maps added tokens to their ``special`` flag, ``merges`` adds words to the 256 bytes.
    """
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]
    split = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

    def make(added: dict[str, bool], merges: Sequence[str] = (), **config: object) -> Tokenizer:
        pairs = [merge.split(" ") for merge in merges]
        words = [*alphabet, *(left + right for left, right in pairs)]
        spec = {
            "version": "1.0",
            "added_tokens": [
                {
                    "id": len(words) + i, "content": name, "special": special, "single_word": False,
                    "lstrip": False, "rstrip": False, "normalized": False,
                }
                for i, (name, special) in enumerate(added.items())
            ],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False},
                    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": False},
                ],
            },
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "vocab": {w: i for i, w in enumerate(words)}, "merges": pairs},
        }  # fmt: skip
        path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
        path.write_text(json.dumps(spec))
        return Tokenizer.from_file(path, config)

    return make

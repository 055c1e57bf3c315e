"""The two sides of ``famulus bench engine``: a process each, told what to do in lines of JSON.

``python -P -m famulus.bench.drivers ours|llama.cpp MODEL THREADS`` answers ``{"do": "prefill", "tokens": N}`` and
``{"do": "decode", "batch": B, "tokens": N}`` with ``{"seconds": s}``. Both compute the same random tokens, nothing is
taken from a cache, and greedy sampling is part of decoding. ``complete`` is llama.cpp's alone: prompts of
``famulus bench lsp``, with its cache on.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any, Protocol

PROMPT = 64
"""Tokens before the timed part of decoding."""


class Driver(Protocol):
    """One side."""

    def prefill(self, tokens: int) -> float:
        """Seconds to read ``tokens`` tokens and choose the next one."""

    def decode(self, batch: int, tokens: int) -> float:
        """Seconds for ``tokens`` more tokens of ``batch`` sequences that step together."""

    def facts(self) -> dict[str, Any]:
        """What else the report needs."""


def random_tokens(count: int) -> list[int]:
    """Ordinary tokens of a small vocabulary, new ones each time."""
    return [random.randrange(300, 30_000) for _ in range(count)]


class Ours:
    """Famulus's own core in this process."""

    def __init__(self, model: str, threads: int) -> None:
        from famulus.engine.core import Core

        self._core = Core.load({"model": model, "threads": threads}, lambda stage: None)
        self._count = 0

    def _submit(self, prompt: int, tokens: int) -> None:
        from famulus.engine.protocol import Generate, Tokens

        self._count += 1
        asked = Tokens(random_tokens(prompt))
        self._core.submit(Generate(str(self._count), asked, max_tokens=tokens, ignore_eos=True))

    def prefill(self, tokens: int) -> float:
        self._submit(tokens, 1)
        start = time.perf_counter()
        while self._core.busy:
            self._core.step(lambda: None)
        return time.perf_counter() - start

    def decode(self, batch: int, tokens: int) -> float:
        for _ in range(batch):
            self._submit(PROMPT, tokens + 8)
        before = self._core.stats()["generated_tokens"]
        while self._core.stats()["generated_tokens"] < before + batch:
            self._core.step(lambda: None)
        begun, start = self._core.stats()["generated_tokens"], time.perf_counter()
        while self._core.stats()["generated_tokens"] < begun + batch * tokens:
            self._core.step(lambda: None)
        seconds = time.perf_counter() - start
        self._core.close()
        return seconds

    def facts(self) -> dict[str, Any]:
        import torch

        memory = torch.ones(64 << 20)
        best = min(self._read(memory) for _ in range(5))
        return {"bandwidth": memory.nbytes / best, "decode_bytes": self._core.decode_bytes()}

    @staticmethod
    def _read(memory: Any) -> float:
        start = time.perf_counter()
        memory.sum()
        return time.perf_counter() - start


class LlamaCpp:
    """llama.cpp through llama-cpp-python's low-level binding (its ``Llama`` knows one sequence only)."""

    def __init__(self, model: str, threads: int) -> None:
        import llama_cpp

        self._lib = llama_cpp
        # It tells its standard error hundreds of lines about the model; kept here because the library does not.
        self._silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._silence, None)
        loaded = llama_cpp.llama_model_load_from_file(model.encode(), llama_cpp.llama_model_default_params())
        wanted = llama_cpp.llama_context_default_params()
        wanted.n_ctx, wanted.n_batch, wanted.n_ubatch, wanted.n_seq_max = 4096, 512, 512, 8
        wanted.n_threads = wanted.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(loaded, wanted)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(loaded))
        self._batch = llama_cpp.llama_batch_init(512, 0, 1)
        self._cached: list[int] = []

    def prefill(self, tokens: int) -> float:
        self._clear()
        prompt = random_tokens(tokens)
        start = time.perf_counter()
        self._run([(t, i, 0, i == tokens - 1) for i, t in enumerate(prompt)])
        self._greedy(tokens - 1)
        return time.perf_counter() - start

    def decode(self, batch: int, tokens: int) -> float:
        self._clear()
        for sequence in range(batch):
            prompt = random_tokens(PROMPT)
            self._run([(t, i, sequence, i == PROMPT - 1) for i, t in enumerate(prompt)])
        latest = random_tokens(batch)
        start = time.perf_counter()
        for step in range(tokens):
            self._run([(t, PROMPT + step, s, True) for s, t in enumerate(latest)])
            latest = [self._greedy(row) for row in range(batch)]
        return time.perf_counter() - start

    def complete(self, tokens: list[int], breaks: list[int], limit: int) -> dict[str, float]:
        """Go on greedily until a line break (one of ``breaks``) behind something else, with the cache of the last
        prompt: seconds, tokens computed of the prompt, tokens written."""
        start = time.perf_counter()
        same = next((i for i, (a, b) in enumerate(zip(self._cached, tokens, strict=False)) if a != b), None)
        same = min(len(self._cached), len(tokens)) if same is None else same
        same = min(same, len(tokens) - 1)  # the last one is computed again for its logits
        memory = self._lib.llama_get_memory(self._context)
        self._lib.llama_memory_seq_rm(memory, 0, same, -1)
        rest = tokens[same:]
        for begin in range(0, len(rest), 512):
            part = rest[begin : begin + 512]
            last = begin + len(part) == len(rest)
            rows = [(t, same + begin + i, 0, last and i == len(part) - 1) for i, t in enumerate(part)]
            self._run(rows)
        self._cached = list(tokens)
        token, written, stops = self._greedy(len(part) - 1), 1, set(breaks)
        while written < limit and not (token in stops and written > 1):
            self._run([(token, len(self._cached), 0, True)])
            self._cached.append(token)
            token, written = self._greedy(0), written + 1
        return {"seconds": time.perf_counter() - start, "computed": len(rest), "written": written}

    def _clear(self) -> None:
        self._cached = []
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)

    def _run(self, rows: list[tuple[int, int, int, bool]]) -> None:
        """Compute rows of (token, position, sequence, logits wanted)."""
        room = self._batch
        room.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            room.token[i], room.pos[i], room.n_seq_id[i] = token, position, 1
            room.seq_id[i][0], room.logits[i] = sequence, wanted
        if self._lib.llama_decode(self._context, room) != 0:
            raise RuntimeError("llama_decode failed")

    def _greedy(self, row: int) -> int:
        import numpy as np

        logits = self._lib.llama_get_logits_ith(self._context, row)
        return int(np.ctypeslib.as_array(logits, shape=(self._vocabulary,)).argmax())

    def facts(self) -> dict[str, Any]:
        from importlib.metadata import version

        return {"version": version("llama-cpp-python")}


def main() -> None:
    """Serve one side until standard input ends."""
    side, model, threads = sys.argv[1:]
    driver: Driver = Ours(model, int(threads)) if side == "ours" else LlamaCpp(model, int(threads))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        kind = asked.pop("do")
        answer = getattr(driver, kind)(**asked)
        print(json.dumps(answer if isinstance(answer, dict) else {"seconds": answer}), flush=True)


if __name__ == "__main__":
    main()

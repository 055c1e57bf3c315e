"""The two sides of ``famulus bench engine``: a process each, told what to do in lines of JSON.

``python -P -m famulus.bench.drivers ours|llama.cpp MODEL THREADS`` answers ``{"do": "prefill", "tokens": N}`` and
``{"do": "decode", "batch": B, "tokens": N}`` with seconds and processor seconds. Both compute the same number of random
tokens, nothing is taken from a cache or drafted, and greedy choice is part of decoding. ``threads`` sets their number,
``likelihood`` judges texts. ``outside`` is ours alone: what of a step is Python. ``complete`` and ``requantise`` are
llama.cpp's alone: prompts of ``famulus bench lsp`` with its cache on, and the same weights in another form.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

PROMPT = 32
"""Tokens before the timed part of decoding."""
MOST_SEQUENCES, SEQUENCE = 16, 128
"""Sequences that decode together, and the tokens that each may have."""


class Timer:
    """Seconds since its start, by the clock and of this process's threads."""

    def __init__(self) -> None:
        self._wall, self._used = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Both."""
        return {"seconds": time.perf_counter() - self._wall, "processor": time.process_time() - self._used}


class Watch:
    """The processor seconds that this thread spends in the functions it is laid over."""

    def __init__(self) -> None:
        self.inside, self.calls = 0.0, 0

    def over(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, its time counted."""

        def timed(*arguments: Any) -> Any:
            start = time.thread_time()
            result = function(*arguments)
            self.inside += time.thread_time() - start
            self.calls += 1
            return result

        return timed


class Driver(Protocol):
    """One side."""

    def prefill(self, tokens: int) -> dict[str, float]:
        """What it takes to read ``tokens`` tokens and choose the next one."""

    def decode(self, batch: int, tokens: int) -> dict[str, float]:
        """What it takes for ``tokens`` more tokens of ``batch`` sequences that step together."""

    def threads(self, count: int) -> dict[str, Any]:
        """Compute with ``count`` threads from here on."""

    def likelihood(self, texts: list[list[int]]) -> dict[str, float]:
        """The mean negative log-likelihood of every token but the first of each text."""

    def facts(self) -> dict[str, Any]:
        """What else the report needs."""


def random_tokens(count: int) -> list[int]:
    """Ordinary tokens of a small vocabulary, new ones each time."""
    return [random.randrange(300, 30_000) for _ in range(count)]


class Ours:
    """Famulus's own core in this process."""

    def __init__(self, model: str, threads: int) -> None:
        from famulus.engine.core import Core

        self._core = Core.load({"model": model, "threads": threads, "speculation": "off"}, lambda stage: None)
        self._count = 0

    def _submit(self, prompt: list[int], **asked: Any) -> None:
        from famulus.engine.protocol import Generate, Tokens

        self._count += 1
        self._core.submit(Generate(str(self._count), Tokens(prompt), ignore_eos=True, **asked))

    def _finish(self) -> list[Any]:
        events: list[Any] = []
        while self._core.busy:
            events += self._core.step(lambda: None)
        return events

    def prefill(self, tokens: int) -> dict[str, float]:
        self._submit(random_tokens(tokens), max_tokens=1)
        timer = Timer()
        self._finish()
        return timer.read()

    def decode(self, batch: int, tokens: int) -> dict[str, float]:
        for _ in range(batch):
            self._submit(random_tokens(PROMPT), max_tokens=batch + tokens)
        while self._step() < batch:  # prompts are read a few at a time, beside sequences that decode already
            pass
        timer = Timer()
        for _ in range(tokens):
            self._step()
        found = timer.read()
        self._core.close()
        return found

    def _step(self) -> int:
        """How many tokens a step chose."""
        before = self._core.stats()["generated_tokens"]
        self._core.step(lambda: None)
        return int(self._core.stats()["generated_tokens"] - before)

    def threads(self, count: int) -> dict[str, Any]:
        import torch

        torch.set_num_threads(count)
        return {}

    def likelihood(self, texts: list[list[int]]) -> dict[str, float]:
        from famulus.engine.protocol import PromptScores

        for text in texts:
            self._submit(text, max_tokens=0, prompt_logprobs=True)
        told = [event for event in self._finish() if isinstance(event, PromptScores)]
        found = [-score.logprob for event in told for score in event.scores if score.logprob is not None]
        return {"nll": sum(found) / len(found)}

    def facts(self) -> dict[str, Any]:
        import torch

        memory = torch.ones(64 << 20)
        best = min(self._read(memory) for _ in range(5))
        return {"bandwidth": memory.nbytes / best, "decode_bytes": self._core.decode_bytes()}

    def outside(self, tokens: int) -> dict[str, float]:
        """What single decoded tokens cost one thread, and how much of it is spent outside the compiled kernels: medians
        of ``tokens`` steps in processor seconds, and how many calls a step makes."""
        from famulus.kernels.cpu.library import library

        self.threads(1)
        found = library()
        functions = {} if found is None else {n: f for n, f in vars(found).items() if n.startswith("famulus_")}
        watch = Watch()
        for name, function in functions.items():
            setattr(found, name, watch.over(function))
        self._submit(random_tokens(PROMPT), max_tokens=tokens + 1)
        while not self._step():
            pass
        steps = []
        for _ in range(tokens):
            watch.inside, watch.calls, start = 0.0, 0, time.thread_time()
            self._core.step(lambda: None)
            whole = time.thread_time() - start
            steps.append((whole, whole - watch.inside))
        for name, function in functions.items():
            setattr(found, name, function)
        self._core.close()
        whole, rest = (sorted(each)[tokens // 2] for each in zip(*steps, strict=True))
        return {"step": whole, "outside": rest, "calls": watch.calls}

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
        self._path, self._threads = model, threads
        self._model = llama_cpp.llama_model_load_from_file(model.encode(), llama_cpp.llama_model_default_params())
        self._one = self._context = self._open(4096, 1)
        self._many: Any = None
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._batch = llama_cpp.llama_batch_init(512, 0, 1)
        self._cached: list[int] = []

    def _open(self, tokens: int, sequences: int) -> Any:
        wanted = self._lib.llama_context_default_params()
        wanted.n_ctx, wanted.n_batch, wanted.n_ubatch, wanted.n_seq_max = tokens, 512, 512, sequences
        wanted.n_threads = wanted.n_threads_batch = self._threads
        return self._lib.llama_init_from_model(self._model, wanted)

    def prefill(self, tokens: int) -> dict[str, float]:
        self._use(self._one)
        prompt = random_tokens(tokens)
        timer = Timer()
        self._greedy(self._read(prompt, 0, 0))
        return timer.read()

    def decode(self, batch: int, tokens: int) -> dict[str, float]:
        if batch > 1 and self._many is None:
            self._many = self._open(MOST_SEQUENCES * SEQUENCE, MOST_SEQUENCES)
        self._use(self._many if batch > 1 else self._one)
        for sequence in range(batch):
            self._read(random_tokens(PROMPT), 0, sequence)
        latest = random_tokens(batch)
        timer = Timer()
        for step in range(tokens):
            self._run([(t, PROMPT + step, s, True) for s, t in enumerate(latest)])
            latest = [self._greedy(row) for row in range(batch)]
        return timer.read()

    def threads(self, count: int) -> dict[str, Any]:
        self._threads = count
        for context in (self._one, self._many):
            if context is not None:
                self._lib.llama_set_n_threads(context, count, count)
        return {}

    def likelihood(self, texts: list[list[int]]) -> dict[str, float]:
        import numpy as np

        found: list[float] = []
        for text in texts:
            self._use(self._one)
            self._run([(t, i, 0, True) for i, t in enumerate(text)])
            for i, token in enumerate(text[1:]):
                row = np.ctypeslib.as_array(self._lib.llama_get_logits_ith(self._context, i), (self._vocabulary,))
                exact = row.astype(np.float64) - row.max()
                found.append(float(np.log(np.exp(exact).sum()) - exact[token]))
        return {"nll": sum(found) / len(found)}

    def requantise(self, kind: str, to: str) -> dict[str, Any]:
        """Write the model's values to the file ``to`` as ``kind`` ("Q8_0", "Q4_0")."""
        wanted = self._lib.llama_model_quantize_default_params()
        wanted.ftype, wanted.allow_requantize = getattr(self._lib, f"LLAMA_FTYPE_MOSTLY_{kind}"), True
        if self._lib.llama_model_quantize(self._path.encode(), to.encode(), wanted) != 0:
            raise RuntimeError(f"llama.cpp cannot write {to}")
        return {}

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
        last = self._read(rest, same, 0)
        self._cached = list(tokens)
        token, written, stops = self._greedy(last), 1, set(breaks)
        while written < limit and not (token in stops and written > 1):
            self._run([(token, len(self._cached), 0, True)])
            self._cached.append(token)
            token, written = self._greedy(0), written + 1
        return {"seconds": time.perf_counter() - start, "computed": len(rest), "written": written}

    def _use(self, context: Any) -> None:
        """Compute in ``context``, of which everything is forgotten."""
        self._cached, self._context = [], context
        self._lib.llama_memory_clear(self._lib.llama_get_memory(context), True)

    def _read(self, tokens: list[int], first: int, sequence: int) -> int:
        """Compute ``tokens`` from position ``first`` on; where the last one's logits are."""
        for begin in range(0, len(tokens), 512):
            part = tokens[begin : begin + 512]
            ends = begin + len(part) == len(tokens)
            rows = [(t, first + begin + i, sequence, ends and i == len(part) - 1) for i, t in enumerate(part)]
            self._run(rows)
        return len(part) - 1

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
        print(json.dumps(getattr(driver, asked.pop("do"))(**asked)), flush=True)


if __name__ == "__main__":
    main()

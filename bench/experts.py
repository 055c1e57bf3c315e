"""``famulus bench experts [--peer llama.cpp]``: a layer with experts in OLMoE-1B-7B's shape, beside llama.cpp's Q4_0.

Both sides read the same files of random weights, with one layer and with two, and decode in turns: what a second layer
adds is a layer's cost, without head, embedding and everything else that a step has. Medians over the rounds; seconds
are wall time and processor time, of which the second says more on a busy machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

from famulus.bench.engine_speed import Side, has_peer
from famulus.bench.report import heading, median, table

HIDDEN, HEADS, EXPERTS, CHOSEN, INNER = 2048, 16, 64, 8, 1024
"""OLMoE-1B-7B's shape (Muennighoff et al. 2024)."""

VOCABULARY = 30_000
LAYERS = (1, 2)
SIDES = ("Famulus", "llama.cpp", "ratio")
TOKENS = 16
"""Steps of one turn."""


def write_model(path: Path, layers: int, seed: int = 0) -> None:
    """A GGUF file with random matrices in Q4_0; the same layers for the same seed."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "olmoe")
    writer.add_block_count(layers)
    writer.add_context_length(4096)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(CHOSEN)
    _vocabulary(writer)

    def matrix(name: str, *shape: int) -> None:
        columns = shape[-1]
        # Nibbles of mean 8, which stands for 0: else all tokens would share a direction, and with it their experts.
        blocks = random.integers(1, 16, (*shape[:-1], columns // 32, 18), dtype=np.uint8)
        blocks += random.integers(1, 16, blocks.shape, dtype=np.uint8) << 4
        scale = np.array([columns**-0.5 / 4], dtype=np.float16).view(np.uint8)
        blocks[..., :2] = scale
        packed = blocks.reshape(*shape[:-1], columns // 32 * 18)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))

    matrix("token_embd.weight", VOCABULARY, HIDDEN)
    matrix("output.weight", VOCABULARY, HIDDEN)
    norm("output_norm.weight")
    for i in range(layers):
        for part in ("attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm"):
            norm(f"blk.{i}.{part}.weight")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{i}.{part}.weight", HIDDEN, HIDDEN)
        gate = random.standard_normal((EXPERTS, HIDDEN), dtype=np.float32) * HIDDEN**-0.5
        writer.add_tensor(f"blk.{i}.ffn_gate_inp.weight", gate)
        matrix(f"blk.{i}.ffn_gate_exps.weight", EXPERTS, INNER, HIDDEN)
        matrix(f"blk.{i}.ffn_up_exps.weight", EXPERTS, INNER, HIDDEN)
        matrix(f"blk.{i}.ffn_down_exps.weight", EXPERTS, HIDDEN, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary(writer: gguf.GGUFWriter) -> None:
    """GPT-2's 256 bytes, and words that nothing is ever cut into."""
    ordinary = [*range(33, 127), *range(161, 173), *range(174, 256)]
    signs = [chr(c) for c in ordinary] + [chr(256 + i) for i in range(256 - len(ordinary))]
    words = signs + ["ab"] + [f"<word{i}>" for i in range(VOCABULARY - 257)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.USER_DEFINED] * (VOCABULARY - 257))
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(VOCABULARY - 1)


def measure(folder: Path, threads: int, peer: str | None, batches: Sequence[int], rounds: int) -> list[list[str]]:
    """Rows of the table: a layer's milliseconds in each batch."""
    names = ["ours"] if peer is None else ["ours", "llama.cpp"]
    sides = {
        (name, layers): Side(
            sys.executable if name == "ours" or peer is None else peer,
            name,
            str(folder / f"{layers}.gguf"),
            threads,
            folder / "home",
        )
        for name in names
        for layers in LAYERS
    }
    taken: dict[tuple[str, int, str], list[float]] = {}
    for turn in range(rounds + 1):
        for batch in batches:
            found = {at: side.ask({"do": "decode", "batch": batch, "tokens": TOKENS}) for at, side in sides.items()}
            for name in names if turn else ():  # the first round warms up
                for kind in ("seconds", "processor"):
                    few, many = (found[name, layers][kind] for layers in LAYERS)
                    taken.setdefault((name, batch, kind), []).append((many - few) / TOKENS * 1000)
    for side in sides.values():
        side.close()
    return [
        [str(threads), str(batch), *_cells(taken, batch, "seconds"), *_cells(taken, batch, "processor")]
        for batch in batches
    ]


def _cells(taken: dict[tuple[str, int, str], list[float]], batch: int, kind: str) -> list[str]:
    """Ours, theirs and the ratio."""
    mine, theirs = median(taken["ours", batch, kind]), taken.get(("llama.cpp", batch, kind))
    if theirs is None:
        return [f"{mine:.2f}", "-", "-"]
    return [f"{mine:.2f}", f"{median(theirs):.2f}", f"{median(theirs) / mine:.2f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="famulus bench experts", description=__doc__)
    parser.add_argument("--peer", choices=["llama.cpp"], help="measure the peer in the same rounds")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has llama-cpp-python")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    peer = options.peer_python if options.peer else None
    print(heading("famulus bench experts" + (" --peer llama.cpp" if peer else "")))
    if peer and not has_peer(peer):
        print("llama-cpp-python is not installed, so there is no peer (pip install 'famulus[bench]').\n")
        peer = None
    with tempfile.TemporaryDirectory(prefix="famulus-experts-") as folder:
        for layers in LAYERS:
            write_model(Path(folder) / f"{layers}.gguf", layers)
        rows = [
            row
            for threads in options.threads
            for row in measure(Path(folder), threads, peer, options.batches, options.rounds)
        ]
    columns = ["threads", "batch", *(f"{side}, {what}" for what in ("ms", "processor ms") for side in SIDES)]
    print(table(columns, rows))


if __name__ == "__main__":
    main()

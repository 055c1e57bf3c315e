"""One view over a model on disk: a GGUF file, or a folder as Hugging Face ships it.

Both answer with Hugging Face's names: ``config`` has the keys of ``config.json``, tensors are called
``model.layers.0.self_attn.q_proj.weight``. Nothing is executed: no pickle, no code from the folder.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from famulus.engine import gguf_config, gguf_names, manifest
from famulus.engine.errors import BadWeights, ModelNotFound
from famulus.engine.folders import folders
from famulus.engine.ggml import Bytes, dequantize
from famulus.engine.gguf import GGUF, TensorInfo, bad
from famulus.engine.shards import DTYPES, Shard, Tensor

ADAPTER = "adapter_config.json"
"""What the folder of an adapter has (PEFT's name); see :mod:`famulus.engine.adapters`."""

_MAX_JSON = 32 << 20
"""Bytes of any JSON file beside the weights; the index of the largest public model has 13 MiB."""

_OPTIONAL = ("num_key_value_heads", "head_dim", "intermediate_size", "max_position_embeddings")
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", *_OPTIONAL)


class Checkpoint(ABC):
    """Configuration, tensors, tokenizer and template of one model. The weights stay mapped.

    ``config``: as in ``config.json``, flattened so that these always stand there: ``model_type``,
    ``hidden_size``, ``num_hidden_layers``, ``num_attention_heads``, ``num_key_value_heads``, ``head_dim``,
    ``vocab_size``, ``rope_theta``, ``rope_scaling`` (dict or None), ``tie_word_embeddings``, ``eos_token_id``
    (a list).
    ``tokenizer``: the path of a ``tokenizer.json``, or the ``tokenizer.*`` metadata of a GGUF file.
    ``chat_template``: Jinja source (untrusted: render it in a sandbox), or None.
    ``digest``: a SHA-256 that changes when the weights change; the key of anything derived from them.
    """

    path: Path
    config: dict[str, Any]
    chat_template: str | None
    digest: str

    @property
    @abstractmethod
    def tokenizer(self) -> Path | Mapping[str, Any]:
        """Raises :class:`BadWeights` where there is none."""

    @abstractmethod
    def names(self) -> list[str]:
        """All tensors, in no particular order."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""

    @abstractmethod
    def raw(self, name: str) -> Tensor:
        """The tensor as stored: a view where possible; for ggml's block formats rows of bytes."""

    @abstractmethod
    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """The tensor in a floating-point type: as stored where it is one, else decoded to F32.

        Raises :class:`BadWeights` naming file and tensor for one that is missing or has another ``shape``.
        """

    def check_embedding(self) -> None:
        """The shape that every family shares; they check their own through ``tensor(name, shape)``."""
        expected = (self.config["vocab_size"], self.config["hidden_size"])
        found = self.raw("model.embed_tokens.weight").shape
        if found != expected:
            raise bad(self.path, f"has 'model.embed_tokens.weight' of shape {found}, its config says {expected}")


class FolderCheckpoint(Checkpoint):
    """A Hugging Face folder: ``config.json``, safetensors (sharded or not), ``tokenizer.json``."""

    def __init__(self, path: Path, listed: manifest.Manifest | None) -> None:
        self.path = path
        self._shards: dict[str, Shard] = {}
        self._files = self._weight_map()
        self.config = self._config()
        self.chat_template = self._chat_template()
        self.digest = listed.digest if listed else self._digest()
        self.check_embedding()

    @property
    def tokenizer(self) -> Path:
        path = self.path / "tokenizer.json"
        if not path.is_file():
            raise BadWeights(f"The model folder {self.path} has no tokenizer.json.")
        return path

    def names(self) -> list[str]:
        return list(self._files)

    def has(self, name: str) -> bool:
        return name in self._files

    def raw(self, name: str) -> Tensor:
        if name not in self._files:
            raise bad(self.path, f"lacks the tensor {name!r}")
        return self._shards[self._files[name]].tensor(name)

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        found = self.raw(name)
        if shape is not None and found.shape != shape:
            file = self.path / self._files[name]
            raise bad(file, f"has {name!r} of shape {found.shape} where {shape} is needed")
        return found

    def _weight_map(self) -> dict[str, str]:
        """Which shard holds which tensor; every shard is opened and must hold what the index says."""
        index, single = self.path / "model.safetensors.index.json", self.path / "model.safetensors"
        if not index.is_file():
            if not single.is_file():
                raise self._no_weights()
            self._shards[single.name] = Shard(single)
            return dict.fromkeys(self._shards[single.name].entries, single.name)
        listed = _json(index).get("weight_map")
        if not isinstance(listed, dict) or not listed:
            raise bad(index, "is corrupt: it maps no tensors")
        for name, file in listed.items():
            if not isinstance(file, str) or not file.endswith(".safetensors") or Path(file).name != file:
                raise bad(index, f"is corrupt: it places the tensor {name!r} into {str(file)[:100]!r}")
            if file not in self._shards:
                self._shards[file] = Shard(self.path / file)
            if name not in self._shards[file].entries:
                raise bad(self.path / file, f"lacks the tensor {name!r} that the index places there")
        return listed

    def _no_weights(self) -> BadWeights:
        pickles = [p.name for end in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in self.path.glob(end)]
        if pickles:
            return BadWeights(
                f"The model folder {self.path} holds its weights only as pickle ({pickles[0]}), "
                "which can run code and is never read.",
                fix="Take a revision of the model that has .safetensors files.",
            )
        return BadWeights(f"The model folder {self.path} holds neither model.safetensors nor a GGUF file.")

    def _config(self) -> dict[str, Any]:
        path = self.path / "config.json"
        config = _json(path)
        rope = config.get("rope_parameters") or config.get("rope_scaling")  # transformers 5, and before
        rope = rope if isinstance(rope, dict) else {}
        theta = config.get("rope_theta") or rope.get("rope_theta") or 10_000.0
        if not isinstance(theta, (int, float)) or not 0 < theta < 1e12:
            raise bad(path, f"has no usable 'rope_theta' ({str(theta)[:50]})")
        config["rope_scaling"] = rope if _scaled(rope) else None
        config["rope_theta"] = float(theta)
        if "partial_rotary_factor" in rope:
            config.setdefault("partial_rotary_factor", rope["partial_rotary_factor"])
        if not isinstance(config.get("model_type"), str):
            raise bad(path, "has no usable 'model_type'")
        for key in _SIZES:
            value = config.get(key)
            if not (type(value) is int and value > 0) and not (value is None and key in _OPTIONAL):
                raise bad(path, f"has no usable {key!r} ({str(value)[:50]})")
        heads = config["num_attention_heads"]
        if not config.get("num_key_value_heads"):
            config["num_key_value_heads"] = heads
        if not config.get("head_dim"):
            config["head_dim"] = config["hidden_size"] // heads
        config.setdefault("tie_word_embeddings", "lm_head.weight" not in self._files)
        generation = self.path / "generation_config.json"
        stops = [config.get("eos_token_id")]
        if generation.is_file():
            stops.append(_json(generation).get("eos_token_id"))
        config["eos_token_id"] = _ids(*stops)
        return self._tokenizer_settings() | config

    def _tokenizer_settings(self) -> dict[str, Any]:
        """What ``tokenizer_config.json`` says of the tokens that begin and end a text."""
        path = self.path / "tokenizer_config.json"
        said = _json(path) if path.is_file() else {}
        names = ("add_bos_token", "bos_token", "eos_token")
        return {name: said[name] for name in names if said.get(name) is not None}

    def _chat_template(self) -> str | None:
        plain = self.path / "chat_template.jinja"
        if plain.is_file():
            return _read(plain).decode("utf-8", "replace")
        settings = self.path / "tokenizer_config.json"
        found = _json(settings).get("chat_template") if settings.is_file() else None
        if isinstance(found, list):  # several named ones
            named = {t.get("name"): t.get("template") for t in found if isinstance(t, dict)}
            found = named.get("default")
        return found if isinstance(found, str) else None

    def _digest(self) -> str:
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for name in sorted(self._shards):
            _mix(digest, self.path / name, repr(sorted(self._shards[name].entries.items())).encode())
        return digest.hexdigest()


class GGUFCheckpoint(Checkpoint):
    """A GGUF file of one of :data:`gguf_config.ARCHITECTURES`."""

    def __init__(self, path: Path, listed: manifest.Manifest | None) -> None:
        self.path = path
        self.file = GGUF(path)
        self.config = gguf_config.config_of(self.file)
        self._stored: dict[str, str] = {}
        for stored in self.file.tensors:
            if stored == gguf_names.ROPE_FACTORS:
                continue
            name = gguf_names.rename(stored, self.config["model_type"])
            if name is None or name in self._stored:
                raise bad(path, f"holds the tensor {stored!r}, which its architecture does not have")
            self._stored[name] = stored
        template = self.file.metadata.get("tokenizer.chat_template")
        self.chat_template = template if isinstance(template, str) else None
        self.digest = listed.digest if listed else self._digest()
        self.check_embedding()

    @property
    def tokenizer(self) -> Mapping[str, Any]:
        return {k: v for k, v in self.file.metadata.items() if k.startswith("tokenizer.")}

    def names(self) -> list[str]:
        return list(self._stored)

    def has(self, name: str) -> bool:
        return name in self._stored

    def raw(self, name: str) -> Tensor:
        info = self._info(name)
        data = self._in_order(name, self.file.raw(info.name))
        if info.form.name in DTYPES:
            data = data.view(DTYPES[info.form.name]).reshape(info.shape)
        return Tensor(info.shape, info.form.name, data)

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        info = self._info(name)
        if shape is not None and info.shape != shape:
            raise bad(self.path, f"has {name!r} of shape {info.shape} where {shape} is needed")
        stored = self.raw(name)
        if stored.dtype in DTYPES:
            return stored
        return Tensor(info.shape, "F32", dequantize(info.form, stored.data))

    def _info(self, name: str) -> TensorInfo:
        if name not in self._stored:
            raise bad(self.path, f"lacks the tensor {name!r}")
        return self.file.tensors[self._stored[name]]

    def _in_order(self, name: str, rows: Bytes) -> Bytes:
        order = gguf_names.row_order(name, self.config)
        if order is None:
            return rows
        flat = rows.reshape(self._info(name).shape[0], -1)  # a bias is one row of bytes: one value a row
        if len(flat) != len(order):
            raise bad(self.path, f"has {name!r} with {len(flat)} rows, its config says {len(order)}")
        return flat[order]

    def _digest(self) -> str:
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            header = file.read(min((t.start for t in self.file.tensors.values()), default=0))
        _mix(digest, self.path, header)
        return digest.hexdigest()


def open_checkpoint(path: Path, *, stamps: Path | None = None) -> Checkpoint:
    """Opens a GGUF file, a folder that holds one, a Hugging Face folder, or an adapter's with the model below it.

    Where a manifest lies beside the weights every file is compared with it first; a file that did not change
    since it was last verified is not read again (``stamps``: where that is remembered, by default in the
    cache folder). Raises :class:`ModelNotFound` for a path that does not exist and :class:`BadWeights` for
    anything that is not a whole model.
    """
    if not path.exists():
        raise ModelNotFound(f"There is no model at {path}.", fix="See: famulus models list")
    folder = path if path.is_dir() else path.parent
    listed = manifest.check(folder, stamps or folders().cache / "verified")
    if path.is_dir() and (path / ADAPTER).is_file():
        from famulus.engine.adapters import open_adapted

        return open_adapted(path, listed)
    if path.is_dir() and not (path / "config.json").is_file():
        inside = sorted(path.glob("*.gguf"))
        if len(inside) != 1:
            what = "several GGUF files" if inside else "neither a config.json nor a GGUF file"
            raise BadWeights(f"The model folder {path} holds {what}.", fix="Name one model file.")
        path = inside[0]
    if path.is_dir():
        return FolderCheckpoint(path, listed)
    if listed is not None and path.name not in listed.files:
        listed = None  # somebody else's file beside ours
    return GGUFCheckpoint(path, listed)


def _scaled(rope: dict[str, Any]) -> bool:
    return rope.get("rope_type", rope.get("type", "default")) not in (None, "default")


def _ids(*values: Any) -> list[int]:
    """One id, a list of ids or nothing, several times -> all ids, in order."""
    flat = [i for value in values for i in (value if isinstance(value, list) else [value])]
    return list(dict.fromkeys(i for i in flat if type(i) is int and i >= 0))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_JSON:
            raise bad(path, f"has more than {_MAX_JSON >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise bad(path, f"cannot be read ({error.strerror})") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read(path))
    except (ValueError, RecursionError):
        raise bad(path, "is not valid JSON") from None
    if not isinstance(found, dict):
        raise bad(path, "is not a JSON object")
    return found


def _mix(digest: hashlib._Hash, path: Path, header: bytes) -> None:
    """For weights without a manifest: what the header says, and that the file was not written since."""
    found = path.stat()
    digest.update(header + f"\0{found.st_size}\0{found.st_mtime_ns}\0".encode())

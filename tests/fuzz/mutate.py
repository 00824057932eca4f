"""Valid files of every kind, and how they are damaged: bytes at random, and values of another kind or size in JSON,
YAML, NumPy headers and archives. Everything follows from a seed."""

import gzip
import io
import json
import pickle
import random
import struct
import tarfile
import wave
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save

from exuno.engine.digests import seal, seal_tensors
from exuno.models.load import load_model

from .readers import WEIGHTS_FOLLOW

STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 255, 65536, 2**31, 2**63, 10**12, 10**30, 10**400),
    *(0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), -1e300),
    *(
        "",
        " ",
        "x",
        "../../x",
        "/etc/passwd",
        "<script>",
        "a\nb",
        "a\0b",
        "\ud800",
        "é" * 300,
        "%s{}",
        "photo:astronaut",
    ),
    *(
        "http://127.0.0.1/x",
        "pretrained",
        [],
        [[]],
        [0],
        [None],
        [1e400],
        ["x"],
        [1] * 1000,
        {},
        {"": 0},
        {"x": {"y": []}},
    ),
    *([[[[[[]]]]]], {"a": {"a": {"a": {"a": 1}}}}),
]


def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(out, "PNG")
    return out.getvalue()


def tar(members: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def torch_bytes(content: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def bundle() -> bytes:
    """An index of one variable of four float32 numbers."""
    shape = b"\x12\x04\x12\x02\x08\x04"
    entries = [(b"", b"\x08\x01"), (b"w", b"\x08\x01" + shape + b"\x28\x10")]
    rows = b"".join(b"\0" + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    block = rows + struct.pack("<II", 0, 1) + bytes(5)
    handle = varint(0) + varint(len(block) - 5)
    index = b"\0" + varint(1) + varint(len(handle)) + b"x" + handle + struct.pack("<II", 0, 1) + bytes(5)
    footer = varint(0) + varint(0) + varint(len(block)) + varint(len(index) - 5)
    return block + index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def seeds() -> dict[str, list[bytes]]:
    """Valid files of each kind."""
    torch.manual_seed(0)
    net = load_model("exuno:convnet_2_4", classes=3, in_chans=1, input_size=(8, 8), pretrained=False)
    state = {key: value.contiguous() for key, value in net.net.state_dict().items()}
    card = net.card.to_json().encode()
    batch = {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 3], b"filenames": [b"a.png"] * 4}
    rows = {
        "test_images": np.zeros((4, 8, 8), np.uint8),
        "test_labels": np.arange(4),
        "class_names": np.array([*"abcd"]),
    }
    plain, packed = io.BytesIO(), io.BytesIO()
    np.savez(plain, **rows)
    np.savez_compressed(packed, **rows)
    shard = tar([("0.png", png()), ("0.cls", b"0"), ("1.png", png()), ("1.cls", b"1")])
    result = {
        "exuno": "0.1.0",
        "command": ["exuno", "teach", "x/config.yaml", "--run-dir", "y"],
        "preset": "digits",
        "metrics": {"model/top1": 0.5, "model/ece": 0.1},
        "intervals": {"model/top1": [0.4, 0.6]},
        "n": {"model/top1": 64},
        "baselines": {"chance/top1": 0.1},
        "lineage": {"data": "digits", "seed": 0},
        "wall_seconds": 0.25,
        "device": "cpu",
        "published": {"student/top1": 0.9},
        "versions": {"exuno": "0.1.0"},
    }
    preset = {
        "verb": "teach",
        "about": {"summary": "x"},
        "base": "digits",
        "config": {"epochs": 3, "optim": {"lr": 0.1}},
    }
    synth = {"what": "patches", "photos": ["ab"], "options": {"size": 8}, "seed": 0, "count": 10, "format": "jpeg"}
    poster = {
        "format": "exuno poster",
        "version": 1,
        "sha256": "x",
        "layout": {
            "size": [16, 20],
            "image": [8, 8],
            "patch": [8, 8],
            "patches": [3, 4],
            "grid": [2, 5],
            "area": [8, 4],
        },
        "order": [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]],
        "low": [0.0],
        "high": [1.0],
        "mean": [0.5],
        "std": [0.5],
        "data": "digits",
        "data_sha256": "x",
        "learned_labels": False,
        "label_formula": "paper",
        "whitened": False,
        "protocol": {"lr": 0.1},
        "lineage": {},
        "class_names": [*"abcdefghij"],
    }
    answers, wav = io.BytesIO(), io.BytesIO()
    images = np.zeros((4, 8, 8), np.uint8)
    np.savez(
        answers, logits=np.eye(4, 3, dtype=np.float32), labels=np.arange(4) % 3, class_names=[*"abc"], images=images
    )
    with wave.open(wav, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(np.arange(400, dtype="<i2").tobytes())
    sealed = torch_bytes({"step": 1, "method": {"w": torch.ones(2)}})
    return {
        "cifar": [pickle.dumps(batch, 2), pickle.dumps(batch, 4)],
        "npz": [plain.getvalue(), packed.getvalue()],
        "shards": [shard, gzip.compress(shard, mtime=0)],
        "model": [
            card + WEIGHTS_FOLLOW + save(state),
            card + WEIGHTS_FOLLOW + seal_tensors(save(state), {"model.json": card.decode()}),
        ],
        "pth": [torch_bytes({"state_dict": state, "epoch": 3}), torch_bytes(state)],
        "safetensors": [save(state), seal_tensors(save(state))],
        "yamlcfg": [yaml.safe_dump(preset).encode()],
        "synthjson": [json.dumps(synth).encode()],
        "tfbundle": [bundle()],
        "picture": [png()],
        "step": [sealed + seal(sealed), sealed],
        "poster": [json.dumps(poster).encode()],
        "spec": [
            *(b"folder:x", b"npz:x.npz@12", b"file:x.pth@timm:resnet18#ema"),
            *(b"wds:{000..012}.tar", b"photo:astronaut", b"timm:resnet18"),
        ],
        "rundir": [json.dumps(result).encode()],
        "evaluation": [answers.getvalue()],
        "curves": [
            b'{"step": 1, "loss": 2.5, "time": 0.5}\n{"step": 2, "loss": 1.5, "time": 1.0}\n',
            b'[{"file": "a.png", "title": "A", "caption": "b", "shows": "data", "least": 300}]',
            b"verb: teach\npreset: digits\nconfig: {data: digits, optim: {lr: 0.1}}\n",
        ],
        "lists": [
            *(b"cat\ndog\nox\n", b"class,split\ncat,train\ndog,test\nox,val\n"),
            *(b"file,label\na.mp4,cat\nb.mp4,dog\n", b"label,youtube_id,time_start,time_end\ncat,xyz,1,2\n"),
        ],
        "recording": [wav.getvalue()],
    }  # fmt: skip


def mutated(kind: str, content: bytes, draw: random.Random) -> bytes:
    """A damaged copy of a valid file."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [damaged, damaged]
    if kind in ("rundir", "synthjson", "poster", "model"):
        ways += [_json, _json, _json]
    elif kind == "yamlcfg":
        ways += [_yaml, _yaml]
    elif kind == "curves":
        ways += [_json, _yaml] if content.startswith((b"[", b"verb")) else []
    elif kind == "evaluation":
        ways += [_npz]
    elif kind == "npz":
        ways += [_npz, _npz]
    elif kind == "shards":
        ways += [_shard, _shard]
    elif kind == "pth":
        ways += [_torch]
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        content = draw.choice(ways)(content, draw)
    return content


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Bytes flipped, set, cut, repeated, removed, or replaced by large numbers."""
    found, size = bytearray(content), len(content)
    at = draw.randrange(size) if size else 0
    way = draw.randrange(8)
    if way == 0 and size:
        found[at] ^= 1 << draw.randrange(8)
    elif way == 1 and size:
        found[at] = draw.choice((0, 10, 34, 127, 128, 255, draw.randrange(256)))
    elif way == 2:
        del found[at:]
    elif way == 3:
        found[at:at] = found[at : at + draw.randrange(1, 64)] * draw.choice((1, 1, 30))
    elif way == 4:
        del found[at : at + draw.randrange(1, 32)]
    elif way == 5:
        found[at : at + 8] = struct.pack("<q", draw.choice((-1, 2**31, 2**62, 10**12, 1)))
    elif way == 6:
        found[at : at + 4] = struct.pack(draw.choice("<>") + "i", draw.choice((-1, 2**31 - 1, 10**6, 0)))
    else:
        found[at:at] = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 16)))
    return bytes(found)


def _changed(value: Any, draw: random.Random) -> Any:
    """A tree with one value replaced by a strange one, taken away, or put elsewhere."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.15:
        return draw.choice(STRANGE)
    if isinstance(value, list):
        at = draw.randrange(len(value))
        return [*value[:at], *([_changed(value[at], draw)] if draw.random() < 0.8 else []), *value[at + 1 :]]
    key = draw.choice(list(value))
    way = draw.random()
    if way < 0.1:
        return {k: v for k, v in value.items() if k != key}
    if way < 0.2:
        return {**value, draw.choice(("", "x", "pretrained", "é\n", key * 200)): value[key]}
    return {**value, key: _changed(value[key], draw)}


def _json(content: bytes, draw: random.Random) -> bytes:
    text, mark, rest = content.partition(WEIGHTS_FOLLOW)
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return damaged(content, draw)
    return json.dumps(_changed(tree, draw)).encode() + mark + rest


def _yaml(content: bytes, draw: random.Random) -> bytes:
    try:
        tree = yaml.safe_load(content)
        return yaml.dump(_changed(tree, draw), allow_unicode=True).encode(errors="surrogatepass")
    except Exception:
        return damaged(content, draw)


def _npz(content: bytes, draw: random.Random) -> bytes:
    """A member of an archive with another header: shape, type, or order."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        return damaged(content, draw)
    if not members:
        return damaged(content, draw)
    name = draw.choice(list(members))
    kind = draw.choice(
        ("|u1", "<i8", "<f4", "|b1", "<U5", "|S3", "|O", "<M8[s]", ">u2", "<c16", "|V9", "[('a','<i4')]", "x")
    )
    shape = draw.choice(
        ("(4,)", "(4, 8, 8)", "(0,)", "()", "(10**12,)", "(1000000000000,)", "(-1,)", "(4, 1)", "(2, 2)", "4")
    )
    header = f"{{'descr': {kind!r}, 'fortran_order': {draw.choice((True, False, 3))}, 'shape': {shape}, }}"
    text = header.ljust(118 + draw.randrange(3)).encode() + b"\n"
    body = bytes(draw.randrange(256) for _ in range(draw.choice((0, 32, 256))))
    members[name] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body
    if draw.random() < 0.2:
        members[draw.choice(("train_images.npy", "x.npy", "test_labels", "../y.npy"))] = members.pop(name)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return out.getvalue()


def _shard(content: bytes, draw: random.Random) -> bytes:
    names = (
        "0.png",
        "0.cls",
        "0.CLS",
        "1.jpg",
        "1.txt",
        "1.json",
        "1.cls.npy",
        "a/b.left.png",
        "é.png",
        "2.tif",
        ".cls",
        "3",
    )
    label = (
        b"0",
        b"-1",
        b"1.0",
        b"cat",
        b"",
        b"\xff",
        b"1000000000000",
        b'{"label": 1}',
        b'{"label": []}',
        b"9" * 5000,
    )
    members = []
    for name in draw.sample(names, draw.randrange(1, 8)):
        text = draw.choice(label) if draw.random() < 0.9 else bytes(2000)
        members.append((name, text if not name.endswith(("png", "jpg", "tif")) else damaged(png(), draw)))
    packed = tar(members)
    return gzip.compress(packed, mtime=0) if draw.random() < 0.3 else packed


def _torch(content: bytes, draw: random.Random) -> bytes:
    """A checkpoint of another make."""
    tensor = draw.choice(
        (torch.ones(3), torch.ones(()), torch.zeros(0), torch.ones(2, 2, 2, 2, 2), torch.ones(3, dtype=torch.int8))
    )
    key = draw.choice(
        ("module.w", "fc.weight", "conv1.weight", "layer1.0.conv1.weight", "", "x.y.z", "pos_embed", "cls_token")
    )
    tree = draw.choice(
        (
            {key: tensor},
            {"state_dict": {key: tensor}},
            {"model": {key: 3}},
            [tensor],
            tensor,
            3,
            None,
            {3: tensor},
            {key: draw.choice(STRANGE[:20])},
        )
    )
    return torch_bytes(tree)  # fmt: skip

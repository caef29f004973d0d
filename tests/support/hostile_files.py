"""Safetensors files that are damaged, or that lie about what they hold."""

import json
import pickle
import struct

import numpy as np


def hostile_files(good: bytes):
    """Names and contents that look like a safetensors file and are none, or lie."""
    length = struct.unpack("<Q", good[:8])[0]
    header, data = json.loads(good[8 : 8 + length]), good[8 + length :]

    def packed(changed, body=data):
        text = json.dumps(changed).encode()
        return struct.pack("<Q", len(text)) + text + body

    name = next(key for key in header if key != "__metadata__")
    far = dict(header, **{name: dict(header[name], data_offsets=[0, 10**12])})
    large = dict(header, **{name: dict(header[name], shape=[10**6, 10**6])})
    bare = {key: value for key, value in header.items() if key != "__metadata__"}
    yield "pickle", pickle.dumps({"weights": [1, 2, 3]})
    yield "empty", b""
    yield "truncated", good[:-50]
    yield "header beyond the file", struct.pack("<Q", 2**62) + good[8:]
    yield "offsets beyond the file", packed(far)
    yield "shape beyond the data", packed(large)
    yield "no description", packed(bare)
    meta = header["__metadata__"]
    kind = next(key for key in meta if key != "format")
    yield "description is a list", packed(dict(header, __metadata__=meta | {kind: "[1]"}))
    yield "description lacks all", packed(dict(header, __metadata__=meta | {kind: "{}"}))
    yield "from the future", packed(dict(header, __metadata__=meta | {"format": f"{kind} 999"}))
    yield "of another kind", packed(dict(header, __metadata__={"format": "cake 1", "cake": meta[kind]}))
    shorter = {key: value for key, value in header.items() if key != name}
    yield "tensor missing", packed(shorter)
    yield (
        "not finite",
        good[: 8 + length] + np.full(len(data) // 4, np.nan, np.float32).tobytes() + data[len(data) // 4 * 4 :],
    )

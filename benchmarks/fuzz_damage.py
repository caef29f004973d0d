"""Random damage to files: to their bytes, to values of a JSON document, to lines of a text."""

import json
import random
from typing import Any

ODD = (None, True, "", "x", "\x00", -1, 0, 1, 10**400, 1e308, float("nan"), float("inf"), [], {}, [[]], {"4": "x"})
ODD_TEXTS = ("x", "nan", "-inf", "1e400", "-1", "0", "9" * 400, "true", '"x"', "[]", "[[1]]", "{}", "\x00", ",,,,")


def damaged_json(value: Any, rng: random.Random) -> Any:
    """Replace, remove or descend into one value of a JSON document."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if rng.random() < 0.2:
            del value[key]
        else:
            value[key] = damaged_json(value[key], rng)
        return value
    return rng.choice(ODD)


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, insert or lose some bytes."""
    at = rng.randrange(max(len(content), 1)) if rng.random() < 0.5 else rng.randrange(min(len(content), 400))
    kind = rng.randrange(4)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if kind == 2:
        return content[:at] + rng.randbytes(rng.randrange(1, 64)) + content[at:]
    return content[:at] + content[at + rng.randrange(1, 64) :]


def damaged_document(content: bytes, rng: random.Random) -> bytes:
    """Damage a JSON file."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    return json.dumps(damaged_json(json.loads(content), rng)).encode()


def damaged_lines(content: bytes, rng: random.Random) -> bytes:
    """Damage a TOML or CSV file: change a value, lose a line or write it twice."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    lines = content.decode().split("\n")
    at, kind = rng.randrange(len(lines)), rng.randrange(4)
    sign = "=" if "=" in lines[at] else ","
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    else:
        parts = lines[at].split(sign)
        parts[-1 if sign == "=" else rng.randrange(len(parts))] = f" {rng.choice(ODD_TEXTS)}"
        lines[at] = sign.join(parts)
    return "\n".join(lines).encode()


def damaged_tensors(content: bytes, rng: random.Random) -> bytes:
    """Damage a safetensors file in its bytes, its header, or the JSON within its header."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    inner = [key for key, text in metadata.items() if text.startswith("{")]
    if inner and rng.random() < 0.7:
        metadata[inner[0]] = json.dumps(damaged_json(json.loads(metadata[inner[0]]), rng))
    else:
        header = damaged_json(header, rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]

"""What is done to a file: cut it, flip bits, swap blocks or files, let it claim what is not so. All by a seed, and no code."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

KINDS = ("cut", "flip", "swap", "claim")

EXTREMES: tuple[Any, ...] = (
    *(0, 1, -1, 7, 1 << 15, 1 << 31, (1 << 63) - 1, 1 << 63, 1 << 70, 10**30, -(10**18)),
    *(0.5, -0.0, 1e-300, 1e308, -1e308, math.inf, -math.inf, math.nan),
    *("", " ", "0", "null", "../../../etc/passwd", "~nosuchuser/x", "C:\\x", "a\x00b"),
    *("\x1b[31mred\x1b[0m", "\u202eabc", "x" * 5000, "9" * 4400),
    *(None, True, False, [], {}, [[]], [1, "two", None], {"": 0}, {"a": {"b": {"c": 1}}}),
)  # fmt: skip
"""Values that no writer of ours would put where they are put."""

SIZES = (0, 1, 2, 3, 31, 255, 256, 32767, 32768, 65535, 65536, 1 << 20, 100_000_000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
"""Counts and sides that a binary header is made to claim."""


def mutate(file: Path, kind: str, random: Random, others: list[Path]) -> str:
    """Change a file in place, and say how.

    Args:
        file: what is changed.
        kind: one of :data:`KINDS`.
        random: decides everything.
        others: sound files of the same sort, to swap it for.
    """
    if kind == "swap" and others and random.random() < 0.4:
        other = random.choice(others)
        shutil.copyfile(other, file)
        return f"swapped for {other.name}"
    if kind == "swap" and random.random() < 0.3:
        return _another_kind_of_thing(file, random)
    if kind == "claim":
        return _claim(file, random)
    data = bytearray(file.read_bytes())
    words = {"cut": _cut, "flip": _flip, "swap": _swap}[kind](data, random)
    file.write_bytes(data)
    return words


def _cut(data: bytearray, random: Random) -> str:
    at = random.randrange(len(data) + 1) if data else 0
    match random.randrange(4):
        case 0:  # near the end, where many readers do not look
            at = max(0, len(data) - random.randrange(1, 40))
            del data[at:]
            return f"cut off at {at}"
        case 1:
            end = min(len(data), at + random.choice([1, 16, 512, 4096]))
            del data[at:end]
            return f"bytes {at} to {end} cut out"
        case 2 if random.random() < 0.1:
            data.clear()
            return "emptied"
        case _:
            del data[at:]
            return f"cut off at {at}"


def _flip(data: bytearray, random: Random) -> str:
    bits = sorted(random.randrange(8 * len(data)) for _ in range(random.choice([1, 1, 1, 2, 8, 64]))) if data else []
    if data and random.random() < 0.3:  # the beginning, where headers are
        bits = [bit % (8 * min(len(data), 256)) for bit in bits]
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    return f"bit{'s' * (len(bits) > 1)} {', '.join(map(str, bits[:8]))}{' ...' * (len(bits) > 8)} flipped"


def _swap(data: bytearray, random: Random) -> str:
    length = min(random.choice([1, 4, 64, 1024]), len(data) // 2)
    if not length:
        return "nothing to swap"
    first = random.randrange(len(data) - 2 * length + 1)
    second = random.randrange(first + length, len(data) - length + 1)
    a, b = data[first : first + length], data[second : second + length]
    data[first : first + length], data[second : second + length] = b, a
    return f"{length} bytes at {first} and {second} swapped"


def _another_kind_of_thing(file: Path, random: Random) -> str:
    content = file.read_bytes()
    file.unlink()
    match random.randrange(5):
        case 0:
            file.mkdir()
            return "a folder in its place"
        case 1:
            file.symlink_to(file.name)
            return "a link to itself in its place"
        case 2:
            file.symlink_to("nowhere")
            return "a link to nothing in its place"
        case 3:
            os.mkfifo(file)
            return "a pipe that nobody writes to in its place"
        case _:
            file.write_bytes(content)
            file.chmod(0)
            return "no permission to read it"


# ---- claims ------------------------------------------------------------------------------------------------------------------


def _claim(file: Path, random: Random) -> str:
    data = file.read_bytes()
    suffix = file.suffix.lower()
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        changed, words = _png(data, random)
    elif data[:3] == b"\xff\xd8\xff":
        changed, words = _jpeg(data, random)
    elif data[:4] in (b"II*\0", b"MM\0*"):
        changed, words = _tiff(data, random)
    elif suffix == ".safetensors":
        changed, words = _safetensors(data, random)
    elif suffix == ".npz":
        changed, words = _npz(data, random)
    elif suffix in (".pt", ".pth"):
        changed, words = _torch(data, random)
    elif suffix in (".csv", ".tsv"):
        changed, words = _table(data, random, "\t" if suffix == ".tsv" else ",")
    elif suffix in (".json", ".jsonl", ".yaml"):
        changed, words = _text(data, random, suffix)
    else:
        changed, words = _number(data, random, min(len(data), 128))
    file.write_bytes(changed)
    return words


def _number(data: bytes, random: Random, within: int) -> tuple[bytes, str]:
    """Any 1, 2, 4 or 8 bytes of the beginning, as a number that is not so."""
    length, order = random.choice([1, 2, 4, 8]), random.choice(["<", ">"])
    at, value = random.randrange(max(1, within - length)), random.choice(SIZES)
    packed = struct.pack(f"{order}Q", value)
    packed = packed[:length] if order == "<" else packed[-length:]
    return data[:at] + packed + data[at + length :], f"bytes {at} to {at + length} claim {value}"


def _png(data: bytes, random: Random) -> tuple[bytes, str]:
    """A chunk with a changed field and the checksum to it, so that the claim is believed."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    index = 0 if random.random() < 0.7 else random.randrange(len(chunks))
    name, body = chunks[index]
    if name == b"IHDR":
        field, place, form = random.choice(
            [("width", 0, ">I"), ("height", 4, ">I"), ("depth", 8, ">B"), ("colour type", 9, ">B"), ("interlace", 12, ">B")]
        )
        value = random.choice(SIZES) if form == ">I" else random.choice([0, 1, 2, 3, 4, 6, 8, 16, 255])
        changed = bytearray(body)
        changed[place : place + struct.calcsize(form)] = struct.pack(form, value)
        chunks[index], words = (name, bytes(changed)), f"{field} {value}"
    else:
        changed, words = _number(body, random, max(2, len(body)))
        chunks[index] = name, changed
    whole = data[:8] + b"".join(struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks)
    return whole, f"{name.decode('latin-1')}: {words}"


def _jpeg(data: bytes, random: Random) -> tuple[bytes, str]:
    """The frame's header, or any segment's length."""
    at, segments = 2, []
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        segments.append((data[at + 1], at + 4))
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    frames = [place for marker, place in segments if marker in (0xC0, 0xC1, 0xC2)]
    if frames and random.random() < 0.7:
        field, place, form = random.choice([("height", 1, ">H"), ("width", 3, ">H"), ("channels", 5, ">B"), ("precision", 0, ">B")])
        value = random.choice([0, 1, 31, 255, 4096, 13_000, 65_535]) if form == ">H" else random.choice([0, 1, 2, 4, 12, 255])
        changed = bytearray(data)
        changed[frames[0] + place : frames[0] + place + struct.calcsize(form)] = struct.pack(form, value)
        return bytes(changed), f"frame: {field} {value}"
    _, place = random.choice(segments)
    length = random.choice([0, 1, 2, 3, 65_535])
    return data[: place - 2] + struct.pack(">H", length) + data[place:], f"segment at {place - 4}: length {length}"


def _tiff(data: bytes, random: Random) -> tuple[bytes, str]:
    """One entry of the first directory: its tag, type, count or value."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack(f"{order}I", data[4:8])
    (entries,) = struct.unpack(f"{order}H", data[at : at + 2])
    entry = at + 2 + 12 * random.randrange(entries)
    (tag,) = struct.unpack(f"{order}H", data[entry : entry + 2])
    field, place, form = random.choice([("value", 8, "I"), ("value", 8, "H"), ("count", 4, "I"), ("type", 2, "H"), ("tag", 0, "H")])
    value = random.choice(SIZES) & (0xFFFF if form == "H" else 0xFFFFFFFF)
    if field == "type":
        value = random.choice([0, 1, 2, 3, 4, 5, 12, 13, 16, 255])
    changed = bytearray(data)
    changed[entry + place : entry + place + struct.calcsize(form)] = struct.pack(f"{order}{form}", value)
    return bytes(changed), f"tag {tag}: {field} {value}"


def _safetensors(data: bytes, random: Random) -> tuple[bytes, str]:
    (length,) = struct.unpack("<Q", data[:8])
    if random.random() < 0.15:
        value = random.choice(SIZES)
        return struct.pack("<Q", value) + data[8:], f"a header of {value} bytes"
    header = json.loads(data[8 : 8 + length])
    facts = header.get("__metadata__", {})
    written = [key for key, value in facts.items() if value.startswith("{")]
    if written and random.random() < 0.6:  # JSON within the metadata
        key = random.choice(written)
        inner, words = _changed(json.loads(facts[key]), random)
        facts[key], words = json.dumps(inner), f"{key}: {words}"
    else:
        header, words = _changed(header, random)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data[8 + length :], f"header: {words}"


def _npz(data: bytes, random: Random) -> tuple[bytes, str]:
    """An archive that is sound, with an array that claims another shape or type, holds other numbers, or is gone."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(list(members))
    body = members[name]
    end = body.index(b"\n") + 1
    header = body[10:end].decode("latin-1")
    match random.randrange(4):
        case 0:
            del members[name]
            words = "is gone"
        case 1:
            shape = random.choice(["()", "(0,)", "(1,)", "(7, 7)", "(100000, 100000)", "(4294967296,)", "(-1,)", "(2,) * 9", "None"])
            header = header[: header.index("'shape'")] + f"'shape': {shape}, }}"
            members[name], words = _npy(header, body[end:]), f"claims shape {shape}"
        case 2:
            kind = random.choice(["|O", "<f4", "<f8", "<i8", "<U9", "|b1", "<c16", "|V8", "<M8[s]"])
            header = f"{{'descr': '{kind}'" + header[header.index(", 'fortran_order'") :]
            members[name], words = _npy(header.rstrip(), body[end:]), f"claims to hold {kind}"
        case _:
            values = bytearray(body[end:])
            if values:
                at = 8 * random.randrange(max(1, len(values) // 8))
                values[at : at + 8] = struct.pack("<d", random.choice([math.nan, math.inf, -1e300, 1e300, 0.0]))[: len(values) - at]
            members[name], words = body[:end] + bytes(values), "holds another number"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return buffer.getvalue(), f"{name} {words}"


def _npy(header: str, values: bytes) -> bytes:
    padded = header + " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode("latin-1") + values


def _torch(data: bytes, random: Random) -> tuple[bytes, str]:
    """A sound file of torch, of another content."""
    import torch

    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    changed, words = _changed(state, random, torch_values())
    buffer = io.BytesIO()
    try:
        torch.save(changed, buffer)
    except (pickle.PicklingError, RecursionError, OverflowError):
        return data, "nothing"
    return buffer.getvalue(), words


def torch_values() -> tuple[Any, ...]:
    """What is put into a checkpoint beside the other extremes."""
    import torch

    return (
        torch.zeros(()),
        torch.zeros(0),
        torch.zeros(1, 1),
        torch.full((3,), math.nan),
        torch.zeros(2, dtype=torch.int64),
        torch.zeros(1).expand(1 << 40),
    )


def _table(data: bytes, random: Random, delimiter: str) -> tuple[bytes, str]:
    rows = list(csv.reader(io.StringIO(data.decode()), delimiter=delimiter))
    row, column = random.randrange(len(rows)), random.randrange(len(rows[0]))
    match random.randrange(6):
        case 0:
            del rows[row]
            words = f"row {row} is gone"
        case 1:
            del rows[row][column]
            words = f"row {row} has no column {column}"
        case 2:
            for each in rows:
                each[column : column + 1] = [each[column]] * 2
            words = f"column {column} is there twice"
        case 3:
            text = data.decode()
            odd = random.choice(["utf-16", "utf-8-sig", "utf-32", "cp1252"])
            return text.replace("0", "é", 1).encode(odd, "replace"), f"written as {odd}"
        case 4:
            raw = random.choice([b"\x00", b"\xff\xfe", b'"', b"\r", b";,a.png\n", b"\n" * 50, b"," * 2000, b'"' + b"a" * 200_000])
            at = random.randrange(len(data))
            return data[:at] + raw + data[at:], f"{raw[:12]!r} at {at}"
        case _:
            cell = random.choice(
                ["", ";", ";,", "a;b", "[", '["x"]', "[1]", "[[]]", ".", "..", "/", "/dev/null", "/dev/zero", "~", *map(str, EXTREMES)]
            )
            rows[row][column] = cell
            words = f"row {row}, column {column} is {cell[:40]!r}"
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass"), words


def _text(data: bytes, random: Random, suffix: str) -> tuple[bytes, str]:
    """JSON, lines of JSON, or YAML."""
    if random.random() < 0.25:
        return _raw(data, random, suffix)
    lines = data.decode().splitlines()
    if suffix == ".yaml":
        changed, words = _changed(yaml.safe_load(data), random)
        try:
            return yaml.safe_dump(changed, sort_keys=False, allow_unicode=False).encode(), words
        except (yaml.YAMLError, RecursionError):
            return data, "nothing"
    if suffix == ".jsonl":
        at = random.randrange(len(lines))
        if random.random() < 0.2:
            lines[at : at + 1] = random.choice([[], [lines[at]] * 3, lines[at:][::-1]])
            return ("\n".join(lines) + "\n").encode(), f"line {at} gone, again, or in another order"
        begins = min(at for at in map(lines[at].find, "[{") if at >= 0)  # behind a digest, in the facts that a cache keeps
        changed, words = _changed(json.loads(lines[at][begins:]), random)
        lines[at] = lines[at][:begins] + json.dumps(changed)
        return ("\n".join(lines) + "\n").encode(), f"line {at}: {words}"
    changed, words = _changed(json.loads(data), random)
    return json.dumps(changed).encode(), words


def _raw(data: bytes, random: Random, suffix: str) -> tuple[bytes, str]:
    """What a parser may not survive: digits without end, nesting without end, aliases that multiply, what is no UTF-8."""
    text = data.decode()
    numbers = [at for at, letter in enumerate(text) if letter.isdigit()]
    inserted = random.choice(
        [
            "9" * 4400,
            "[" * 100_000,
            '{"a":' * 20_000,
            '"\\ud800"',
            "\ufeff",
            "\x00",
            "NaN",
            "1e999",
            "- " * 10_000,
            "!!python/name:os.system",
            "!!binary x",
            "*nowhere",
            "? ",
        ]
    )
    if suffix == ".yaml" and random.random() < 0.3:
        levels = random.choice([4, 7, 9])
        lines = ["more: &a0 [x, x, x, x, x, x, x, x, x]", *(f"more{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels))]
        return (text + "\n".join(lines) + "\n").encode(), f"aliases of aliases, {levels} deep"
    if random.random() < 0.2:
        return data.replace(b'"', b'"\xff\xfe', 1) if b'"' in data else b"\xff" + data, "bytes that are no UTF-8"
    at = random.choice(numbers) if numbers and random.random() < 0.6 else random.randrange(len(text))
    return (text[:at] + inserted + text[at + 1 :]).encode("utf-8", "surrogatepass"), f"{inserted[:12]!r} at {at}"


def _changed(value: Any, random: Random, more: tuple[Any, ...] = ()) -> tuple[Any, str]:
    """A copy of nested values in which one place holds something else, is gone, is called otherwise, or is there many times."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any, str]] = []
    shallow: list[tuple[Any, Any, str]] = []

    def walk(held: Any, path: str, depth: int) -> None:
        for key, item in held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ():
            for found in (places, shallow) if depth < 2 else (places,):
                found.append((held, key, f"{path}.{key}"))
            walk(item, f"{path}.{key}", depth + 1)

    walk(value, "", 0)
    if not places or random.random() < 0.03:
        put = random.choice(EXTREMES)
        return put, f"all of it is {_short(put)}"
    held, key, path = random.choice(shallow if random.random() < 0.4 else places)
    match random.randrange(8):
        case 0:
            del held[key]
            return value, f"{path} is gone"
        case 1 if isinstance(held, dict):
            held[random.choice([f"{key}_", str(key).upper(), "\x1b[2J", "ü" * 300, ""])] = held.pop(key)
            return value, f"{path} is called otherwise"
        case 2:
            other, at, where = random.choice(places)
            held[key] = copy.deepcopy(other.get(at) if isinstance(other, dict) else other[at] if at < len(other) else None)
            return value, f"{path} is what {where} was"
        case 3 if isinstance(held[key], int | float) and not isinstance(held[key], bool):
            factor: Callable[[Any], Any] = random.choice(
                [lambda x: -x, lambda x: x + 1, lambda x: x * 1000, lambda x: x * 10**9, float, str]
            )
            held[key] = factor(held[key])
            return value, f"{path} is {_short(held[key])}"
        case 4 if isinstance(held, list):
            held[key : key + 1] = [held[key]] * random.choice([2, 100, 3000])
            return value, f"{path} is there many times"
        case _:
            held[key] = random.choice(EXTREMES + more)
            return value, f"{path} is {_short(held[key])}"


def _short(value: Any) -> str:
    text = f"{type(value).__name__} of shape {tuple(value.shape)}" if hasattr(value, "shape") else repr(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."

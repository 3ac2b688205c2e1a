"""Small archives for tests: sound ones, and harmless ones of the kinds that must be refused."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

CONTENTS = {f"toy/{split}/{number}.jpg": bytes([number, len(split)]) * 700 for split in ("train", "val") for number in range(4)}


def tar_gz(file: Path, contents: Mapping[str, bytes] = CONTENTS, *more: tarfile.TarInfo) -> Path:
    """A tar archive of these files, and of these members without content behind them."""
    with tarfile.open(file, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in more:
            archive.addfile(member)
    return file


def zipped(file: Path, contents: Mapping[str, bytes] = CONTENTS) -> Path:
    """A zip archive of these files."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """A member that is no file."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def _zip_link(file: Path) -> None:
    zipped(file)
    with zipfile.ZipFile(file, "a") as archive:
        link = zipfile.ZipInfo("toy/link")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")


def _encrypted(file: Path) -> None:
    content = bytearray(zipped(file).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(content)


def _goes_on(file: Path) -> None:
    plain = gzip.decompress(tar_gz(file).read_bytes())
    end = len(plain.rstrip(b"\0")) + 511
    file.write_bytes(gzip.compress(plain[: end - end % 512] + b"not a header" * 100 + bytes(2048)))


def _long_header(file: Path) -> None:
    with tarfile.open(file, "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x" * (17 << 20)}):
        pass


def _broken(make: Callable[[Path], Path], change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(change(make(file).read_bytes()))

    return write


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "tar, up": (lambda file: tar_gz(file, {**CONTENTS, "toy/../../up.jpg": b"x"}), "'toy/../../up.jpg' leads out of its folder"),
    "tar, absolute": (lambda file: tar_gz(file, {**CONTENTS, "/tmp/out.jpg": b"x"}), "'/tmp/out.jpg' has an absolute name"),
    "tar, drive": (lambda file: tar_gz(file, {**CONTENTS, "C:/out.jpg": b"x"}), "'C:/out.jpg' has an absolute name"),
    "tar, backslash": (lambda file: tar_gz(file, {**CONTENTS, "..\\out.jpg": b"x"}), "has a name of letters that no file should have"),
    "tar, escape": (lambda file: tar_gz(file, {**CONTENTS, "\x1b[2J.jpg": b"x"}), "has a name of letters that no file should have"),
    "tar, deep": (lambda file: tar_gz(file, {**CONTENTS, "a/" * 40 + "b": b"x"}), "has too long a name"),
    "tar, symbolic link": (lambda file: tar_gz(file, CONTENTS, special("toy/link", tarfile.SYMTYPE, "/etc")), "'toy/link' is a link"),
    "tar, link and a file behind it": (
        lambda file: tar_gz(file, {}, special("toy", tarfile.SYMTYPE, ".."), special("toy/x", tarfile.REGTYPE)),
        "'toy' is a link",
    ),
    "tar, hard link": (lambda file: tar_gz(file, CONTENTS, special("hard", tarfile.LNKTYPE, "toy/train/0.jpg")), "'hard' is a link"),
    "tar, device": (lambda file: tar_gz(file, CONTENTS, special("null", tarfile.CHRTYPE)), "'null' is no plain file and no folder"),
    "tar, pipe": (lambda file: tar_gz(file, CONTENTS, special("pipe", tarfile.FIFOTYPE)), "'pipe' is no plain file and no folder"),
    "tar, twice": (
        lambda file: tar_gz(file, CONTENTS, special("toy/train/0.jpg", tarfile.REGTYPE)),
        "'toy/train/0.jpg' has the name of another member",
    ),
    "tar, a file as a folder": (
        lambda file: tar_gz(file, CONTENTS, special("toy/train/0.jpg/x", tarfile.REGTYPE)),
        "has the name of another member",
    ),
    "tar, bomb": (lambda file: tar_gz(file, {"toy/zeros": bytes(65 << 20)}), "67,108,864 are the most that are unpacked"),
    "tar, long header": (_long_header, "has headers without end"),
    "tar, empty": (lambda file: tar_gz(file, {}), "holds no files"),
    "tar, cut off": (_broken(tar_gz, lambda content: content[: len(content) // 2]), "is damaged"),
    "tar, checksum": (_broken(tar_gz, lambda content: content[:-6] + bytes([content[-6] ^ 1]) + content[-5:]), "is damaged"),
    "tar, a flipped byte": (_broken(tar_gz, _flipped), "is damaged"),
    "tar, goes on": (_goes_on, "goes on behind its end"),
    "zip, up": (lambda file: zipped(file, {**CONTENTS, "../up.jpg": b"x"}), "'../up.jpg' leads out of its folder"),
    "zip, absolute": (lambda file: zipped(file, {**CONTENTS, "/tmp/out.jpg": b"x"}), "'/tmp/out.jpg' has an absolute name"),
    "zip, link": (_zip_link, "'toy/link' is a link"),
    "zip, encrypted": (_encrypted, "is encrypted"),
    "zip, bomb": (lambda file: zipped(file, {"toy/zeros": bytes(65 << 20)}), "67,108,864 are the most that are unpacked"),
    "zip, cut off": (_broken(zipped, lambda content: content[: len(content) // 2]), "is damaged"),
    "zip, a flipped byte": (_broken(zipped, _flipped), "is damaged"),
    "a page": (
        lambda file: file.write_bytes(b"<html>sign in here</html>"),
        "neither a zip nor a tar.gz archive (it begins with '<html>sign",
    ),
}
"""By name, what writes one, and what is said of it."""

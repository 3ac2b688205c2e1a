"""OpenVINO's own files: what ours say of themselves, read from the XML without OpenVINO."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..integrity import open_file, sha256_of
from .exported import KEY, About

_LARGEST = 256 << 20


def about_of_xml(file: Path) -> About:
    """What an OpenVINO file of ours says of itself.

    Raises:
        UserError: it is none, its ``.bin`` is missing, or it is damaged.
    """
    from xml.etree import ElementTree

    if not file.with_suffix(".bin").is_file():
        raise UserError(f"{file} has its weights in {file.with_suffix('.bin').name}, which is not beside it: copy both files")
    value = None
    try:
        with open_file(file) as stream:
            text = stream.read(_LARGEST)
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # OpenVINO writes none, and entities can stand for any amount of text
            raise UserError(f"{file} is no OpenVINO model: give the .xml that was exported")
        root = ElementTree.fromstring(text)
        if root.tag == "net":
            found = root.find(f"./rt_info/{KEY}")
            value = None if found is None else found.get("value")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}; check its name and permissions") from None
    except ElementTree.ParseError as error:
        raise UserError(f"{file} is damaged or no OpenVINO model ({error}): copy or export it again") from None
    if value is None:
        raise UserError(
            f"{file} was not exported by transfigure, so nothing is known of what goes in and comes out: give an ONNX file of it, with its "
            "value range"
        )
    about = About.from_json(value, str(file))
    weights = file.with_suffix(".bin")
    try:
        fits = not about.beside or sha256_of(weights) == about.beside
    except OSError as error:
        raise UserError(f"{weights} cannot be read: {error.strerror}; check its permissions") from None
    if not fits:
        raise UserError(f"{weights} is damaged, or belongs to another model than {file}: copy both files of one export")
    return about

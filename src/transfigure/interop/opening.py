"""From a file, a folder or a name of other people's to a generator and its configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..networks.base import Generator
from ..networks.model_file import ModelConfig
from . import pytorch_cyclegan, zoo


def open_published(
    name: str, *, fetch: bool = False, url: str | None = None, sha256: str | None = None, quiet: bool = False
) -> tuple[Generator, ModelConfig]:
    """A published network. What has just been downloaded and is no generator is not kept.

    Args:
        name: of :data:`.zoo.PUBLISHED`.
        fetch: as :func:`.zoo.obtain`, as are the others.

    Raises:
        UserError, Missing, RunFailure: there is no such network, it is not here, or its file is not one.
    """
    network = zoo.published(name)
    found = zoo.obtain(network, fetch=fetch, url=url, sha256=sha256, quiet=quiet)
    try:
        generator, config = pytorch_cyclegan.open_generator(found.path)
    except UserError as error:
        if not found.first:
            raise
        found.discard()
        raise UserError(f"what {url or network.url} sent is no generator, and was deleted ({error})") from error
    state = {"which": network.full_name, "file": f"SHA-256 {found.sha256}"}
    return generator, replace(config, trained_size=zoo.TRAINED_SIZE, checkpoint=state)


def open_file(path: str | Path) -> tuple[Generator, ModelConfig]:
    """A generator in one file of another program, recognised by what it holds.

    Raises:
        UserError: the file is not there, damaged, or no generator that is known.
    """
    return pytorch_cyclegan.open_generator(path)

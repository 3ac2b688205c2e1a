"""From a file, a folder or a name of other people's to a generator and its configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import UserError
from ..networks.base import Generator
from ..networks.model_file import CONFIG, ModelConfig
from ..recipe import Recipe
from . import pix2pix_tensorflow, pytorch_cyclegan, train_options, zoo


@dataclass(frozen=True)
class Foreign:
    """A generator that another program trained.

    Attributes:
        generator: the network, as ours.
        config: what it is.
        file: its file.
        recipe: of its training, if that is known.
        notes: what there is to say of it.
    """

    generator: Generator
    config: ModelConfig
    file: Path | None = None
    recipe: Recipe | None = None
    notes: tuple[str, ...] = ()


def open_published(name: str, *, fetch: bool = False, url: str | None = None, sha256: str | None = None, quiet: bool = False) -> Foreign:
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
    config = replace(config, trained_size=zoo.TRAINED_SIZE, checkpoint=state)
    return Foreign(generator, config, found.path, notes=(f"{name} is {network.summary}; {zoo.PREPROCESSING}",))


def open_file(path: str | Path) -> tuple[Generator, ModelConfig]:
    """A generator in one file of another program, recognised by what it holds.

    Raises:
        UserError: the file is not there, damaged, or no generator that is known.
    """
    if pix2pix_tensorflow.is_pict(path):
        return pix2pix_tensorflow.open_generator(path)
    return pytorch_cyclegan.open_generator(path)


def open_folder(folder: str | Path, epoch: str = "latest", direction: str | None = None) -> Foreign:
    """A generator out of a folder as the reference writes it: ``latest_net_G.pth``, and ``train_opt.txt`` beside it.

    Args:
        folder: ``checkpoints/NAME``.
        epoch: ``latest``, an epoch, or ``iter_5000``.
        direction: of the two generators of CycleGAN that from A to B or back; None is the direction of training.

    Raises:
        UserError: there is no such generator, or the options describe no training that there is here.
    """
    folder = Path(folder)
    if (folder / CONFIG).is_file() or (folder / "model" / CONFIG).is_file():
        raise UserError(f"{folder} is a model already, and needs no import: everything that takes a model takes it as it is")
    file = next((folder / name for name in train_options.FILES if (folder / name).is_file()), None)
    options = {} if file is None else train_options.read_options(file)
    trained = options.get("direction", "AtoB")
    network = folder / f"{epoch}_net_G.pth"
    if not network.is_file():
        network = folder / f"{epoch}_net_G_{'A' if direction in (None, trained) else 'B'}.pth"
    elif direction not in (None, trained):
        raise UserError(f"{network} is one generator, trained {trained}: leave out --direction")
    if not network.is_file():
        there = sorted(path.name for path in folder.glob("*_net_G*.pth"))
        what = f"there are {', '.join(there[:5])}" if there else "give the folder that train.py wrote into checkpoints/, or a .pth file"
        raise UserError(f"{folder} holds no {epoch}_net_G.pth: {what}")
    generator, config = pytorch_cyclegan.open_generator(network, dropout=options.get("no_dropout") != "True")
    if file is None:
        return Foreign(generator, config, network, None, (f"{folder} has no train_opt.txt, so there is no recipe of its training",))
    read = train_options.recipe_of(options, file, config, direction or trained)
    config = replace(config, recipe=read.recipe.to_dict(), trained_size=read.recipe.data.crop_size)
    return Foreign(generator, config, network, read.recipe, read.notes)

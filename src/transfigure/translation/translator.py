"""A translator: a trained generator with all it needs to turn an image of any size into an image."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import tempfile
from collections import abc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, get_args, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .._version import __version__
from ..data import images
from ..data.channels import are_primaries, brief_names
from ..data.encodings.label_maps import ColourLook, ColourWatch, LabelMaps
from ..data.file_facts import FileFacts, NoData, Orientation, PageUse, PictureWatch, describe_pages
from ..data.files import check_writable_folder, real_path
from ..data.formats.metadata import Metadata, is_sealed_file, unsealed
from ..data.formats.pyramids import Reduction
from ..data.formats.row_file import ImageShape
from ..data.masks import Mask, black, data_of, filled, holds, no_data_for, of_class, with_no_data, without_no_data
from ..data.ownership import check_outputs
from ..data.pages import PageReading, page_count, refuse_unsaid
from ..data.pairing import listed
from ..data.pairs import FilePicture
from ..data.pictures import FoundPictures, as_one, find_pictures
from ..data.row_writer import RowWriter, blocks
from ..data.value_range import NATURAL_RANGE, TYPES, Range, Watch, beyond_percentiles, if_of_type, number, outside
from ..data.windows import WindowedImage
from ..errors import Missing, UserError
from ..interop import hub
from ..networks.base import Generator
from ..networks.model_file import Domain, Inference, ModelConfig, check_folder, describe_checkpoint, save_model
from ..progress import say, track
from ..wording import counted
from .devices import PRECISIONS, Precision
from .engines.base import GraphEngine, InferenceEngine
from .engines.torch import TorchEngine
from .exported_network import ExportedGenerator
from .file_stacks import refuse_single_files
from .folder import (
    MANY,
    FileKeywords,
    FileOptions,
    FileToTranslate,
    FolderWork,
    TranslateKeywords,
    Written,
    neighbours,
    other_formats,
    plan_outputs,
    refuse_url,
)
from .footprint import SMALL, Footprint, HeldBytes
from .network import TrainedNetwork, fits, run
from .opening import HowToRun, open_any
from .piecewise import PiecewiseTranslation
from .pipeline import overlapped
from .pyramid import check_pyramid, reduction_for
from .tile_source import ArraySource, TileSource, WindowSource
from .tiling import SAMPLES, TilePlan, Tiler, Tiling, TilingKeywords

if TYPE_CHECKING:
    from .export import Exported, ExportKeywords

_NOISE = 2
"""Raised when the noise of a seed becomes another."""
_SCALE = "scale its values as those of the training images were, and replace what is no-data"
"""What to do with floats that the model has no range for: it takes 0 to 1, and translating has no flag for another."""


@dataclass(frozen=True)
class ReadImage:
    """What was read of a file.

    Attributes:
        file: which.
        whole: all of it.
        array: what is translated of it.
        facts: what it says of itself.
        others: the further pages, each an image of its own, which are read when it is their turn.
        data: where what is translated holds data; None if that is everywhere.
    """

    file: FileToTranslate
    whole: NDArray[Any]
    array: NDArray[Any]
    facts: FileFacts
    others: tuple[FilePicture, ...] = ()
    data: Mask | None = None

    def filled(self, given: Range | None, classes: bool = False) -> NDArray[Any]:
        """What is translated, with black where nothing is: the low end of its range; of label maps, a class that it holds."""
        if self.data is None:
            return self.array
        return filled(self.array, self.data, black(self.array, of_class(self.array, self.data) if classes else given))


@dataclass(frozen=True)
class LargeImage:
    """A file that goes through the network in tiles, and is read when it is its turn.

    Attributes:
        file: which.
        picture: what is translated of it.
        header: of its first file.
        is_beyond_limit: it is larger than what is decoded whole.
    """

    file: FileToTranslate
    picture: FilePicture
    header: images.Header
    is_beyond_limit: bool


@dataclass(frozen=True)
class ImageInParts:
    """An image of which a few rows are at hand at a time.

    Attributes:
        label: what a message calls it.
        facts: what its file says.
        source: gives its rows.
        given: the range that it is read with, or of label maps with no-data a class that it holds, see :func:`.masks.black`.
    """

    label: str
    facts: FileFacts
    source: TileSource
    given: Range | NDArray[Any] | None = None

    def filled(self, part: NDArray[Any]) -> tuple[NDArray[Any], Mask | None]:
        """A part with black where nothing is, and where data is; None if that is everywhere."""
        return without_no_data(part, self.facts.no_data, self.given)

    def rows(self) -> Iterator[NDArray[Any]]:
        """All of it from the top, a few rows at a time."""
        for part in blocks(self.source.height, self.source.width, 1):
            yield self.source.rows(part.start, part.stop)


@dataclass(frozen=True)
class TranslatedImage:
    """What a generator made of an image.

    Attributes:
        tensor: ``[C, H, W]`` in [-1, 1].
        source: what it was made from, where decoding needs it.
        data: where that holds data; None if that is everywhere.
        no_data: what means "nothing here" in it; None if nothing does.
    """

    tensor: Tensor
    source: NDArray[Any] | None = None
    data: Mask | None = None
    no_data: float | None = None


@dataclass(frozen=True)
class TranslatedPages:
    """What becomes of a file.

    Attributes:
        images: of each page; most files have one.
        axis: what the pages are.
    """

    images: list[TranslatedImage]
    axis: str = ""


@dataclass(repr=False)
class Translator:
    """A generator and what is known about it. Call it on a picture::

        translator = Translator.load("runs/facades")
        photo = translator(PIL.Image.open("label.png"))

    Attributes:
        generator: the ``torch.nn.Module``; ``[N, C, H, W]`` in [-1, 1] to the same, H and W multiples of ``config.size_multiple``.
        config: architecture, channels, ranges, recipe.
        inference: how it runs (statistics, noise, seed); begins as the model's stored choice.
        origin: the file or folder it was loaded from.
        quiet: do not say, once, that images were converted to what the model takes.
        engine: what runs the generator.
        tiling: when and how large images are translated in tiles, see :meth:`set_tiles`.
    """

    generator: Generator
    config: ModelConfig
    inference: Inference
    origin: Path | None = None
    quiet: bool = False
    engine: InferenceEngine = field(default=None)  # type: ignore[assignment]  # torch, unless it is given
    tiling: Tiling = field(default_factory=Tiling)
    _said: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    _colours: ColourWatch | None = field(default=None, init=False, repr=False, compare=False)
    _footprint: Footprint = field(init=False, repr=False, compare=False)
    _hashed: tuple[list[tuple[str, int, int]], str] | None = field(default=None, repr=False, compare=False)
    _loaded: tuple[str, HowToRun] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = self.generator.about.memory if isinstance(self.generator, ExportedGenerator) else None
        self._footprint = Footprint(self.generator, known)
        another = isinstance(self.engine, TorchEngine) and self.engine.generator is not self.generator
        if self.engine is None or another:
            self.engine = TorchEngine(self.generator)

    def __setattr__(self, name: str, value: object) -> None:
        """A translator that is given another generator runs that one, by torch."""
        super().__setattr__(name, value)
        if name == "generator" and "engine" in self.__dict__:  # not while it is being made
            del self.engine
            self.__post_init__()

    @classmethod
    def load(cls, path: str | Path, **how: Unpack[HowToRun]) -> Translator:
        """Load whatever holds a generator, and choose how it runs.

        Args:
            path: a run, a model directory, the name of a shipped model (``street``), ``hub:owner/name``, an exported ``.onnx`` or OpenVINO
                ``.xml`` file, anybody's ONNX file from image to image, a ``.pth`` file of the PyTorch reference implementation, or a
                ``.pict`` file of pix2pix-tensorflow.
            how: ``checkpoint`` of a run: ``last``, or ``best``, the one that validated best.
                ``device``: ``auto``, ``cpu``, ``cuda``, ``mps``.
                ``precision`` of weights and activations, see :meth:`set_precision`.
                ``engine``, what runs it: ``torch`` (the default for models), ``onnxruntime``, ``openvino``, or ``auto``: the fastest
                that is installed and exact (the default for exported files). A model is converted for it once, and that is kept.
                ``norm``: statistics of the image at hand (``batch``) or gathered in training (``running``); None is the model's choice.
                ``noise``: ``dropout`` or ``none``; None is the model's own choice, and off for other people's files.
                ``seed`` of the noise; None is the model's own.
                ``value_range`` of another's ONNX file: the values that stand for black and white in what goes in and comes out.
                ``layout`` of another's ONNX file: ``nchw`` or ``nhwc``; None is found out from its shapes.
                ``quiet``: no notes.

        Raises:
            UserError: there is no model, or it is damaged, or cannot run in this way.
            Missing: the engine is not installed.
        """
        if hub.is_hub_name(path):
            return cls.from_pretrained(path, **how)
        opened, quiet = open_any(path, **how), how.get("quiet", False)
        runs = opened.engine or TorchEngine(opened.generator)
        translator = cls(opened.generator, opened.config, opened.config.inference, opened.origin, quiet, runs)
        translator._loaded = str(path), how
        if opened.digest is not None:  # which has just been found to be that of the file
            translator._hashed = translator._versions(), opened.digest
        if how.get("noise") is None and opened.note:
            translator._note(opened.note)
        choices: dict[str, Any] = {key: value for key in ("norm", "noise", "seed") if (value := how.get(key)) is not None}
        translator.inference = replace(opened.config.inference, **choices)
        if not translator.is_exported and (engine := how.get("engine") or "torch") != "torch":
            from .conversion import choose_engine

            translator.engine = choose_engine(translator.network, engine, quiet)
        if isinstance(translator.engine, GraphEngine):
            translator.engine.check(translator.inference)
        precision = how.get("precision", "float32")
        return translator if precision == "float32" else translator.set_precision(precision)

    def __repr__(self) -> str:
        """Five lines: what it is, what goes in and comes out, how it runs, from where."""
        source, target = (
            side.describe() + (f" in {side.value_range}" if side.value_range else "") for side in (self.config.source, self.config.target)
        )
        return "\n".join(
            (
                f"Translator({self.config.generator}, {describe_checkpoint(self.config.checkpoint)}",
                f"  images: {source} -> {target}, any size"
                + (f" (resized to {self.generator.only_size})" * bool(self.generator.only_size)),
                f"  runs with: {self.engine.modes(self.inference)}",
                f"  engine: {self.engine.describe()}",
                f"  from: {self.origin or 'memory'})",
            )
        )

    def running(self, inference: Inference) -> Translator:
        """The same in another mode; engine and weights are shared.

        Raises:
            UserError: the engine cannot run in it.
        """
        self._weights()  # hashed once for all of them
        other = replace(self, inference=inference)
        other._footprint, other._hashed, other._said = self._footprint, self._hashed, self._said
        if isinstance(other.engine, GraphEngine):
            other.engine.check(inference)
        return other

    @property
    def is_exported(self) -> bool:
        """Whether it runs an exported file, which has no weights to look at."""
        return isinstance(self.generator, ExportedGenerator)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, token: str | None = None, **how: Unpack[HowToRun]
    ) -> Translator:
        """Load a model that somebody shared: a model directory, or a model of the Hugging Face Hub by its name.

        What is not in the hub's cache is downloaded, and that is said, with its size; without a network the cache is used. A directory
        needs neither network nor ``huggingface_hub``.

        Args:
            name: a model directory, or ``owner/name``.
            revision: of the hub's model: a branch, a tag or a commit.
            token: of the hub, in place of the one you logged in with.
            how: as for :meth:`load`.

        Raises:
            UserError: there is no such model, it is damaged, or it cannot be reached.
            Missing: ``huggingface_hub`` is not installed.
        """
        with hub.model_folder(name, revision=revision, token=token) as folder:
            translator = cls.load(folder, **how)
        if folder != Path(name):
            translator.origin = Path(str(hub.HubModel.read(name, revision)))
            translator._loaded = str(translator.origin), how
        return translator

    def set_precision(self, precision: Precision) -> Translator:
        """Hold weights and activations in another number format: ``bfloat16`` and ``float16`` take half the memory, and less time where
        the device computes in them. The pictures are nearly the same; images and outputs stay float32.

        Returns:
            This translator.
        """
        if self.engine.name != "torch" and precision != "float32":
            raise UserError(f"the precision {precision} is for the engine torch, and {self.engine.name} has its own: leave out one of them")
        self.generator.to(PRECISIONS[precision])
        return self

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write a model directory; the present inference choices become its default.

        Args:
            folder: where to; an older model of ours in it is replaced.
            overwrite: replace another's files of the same names, too.

        Raises:
            UserError: files are there that this tool did not write, or links, or the place cannot be written; or the weights have been
                rounded to half precision.
        """
        if self.is_exported:
            raise UserError(f"{self.origin} is an exported file, and no model directory can be made of it: copy the file")
        if any(tensor.dtype in (torch.bfloat16, torch.float16) for tensor in self.generator.state_dict().values()):
            raise UserError("this translator holds its weights in half precision: load the model in float32 to save it")
        check_folder(Path(folder), overwrite)
        save_model(Path(folder), self.generator.state_dict(), replace(self.config, inference=self.inference))

    def save_pretrained(
        self, folder: str | Path, *, licence: str | None = None, panel: bool = True, overwrite: bool = False, name: str | None = None
    ) -> None:
        """Write a model directory to share: as :meth:`save`, with a card that says what its run knows, and without places on this machine.

        Args:
            folder: where to; an older model of ours in it is replaced.
            licence: the hub's word for it, such as ``mit`` or ``cc-by-4.0``.
            panel: show examples of the run: source, generated, target.
            overwrite: replace another's files of the same names, too.
            name: on the hub, ``owner/name``, for the card.

        Raises:
            UserError: as :meth:`save`.
        """
        from ..interop.model_card import without_paths, write_card

        folder = Path(folder)
        check_outputs([folder / hub.PANEL], overwrite)
        config = replace(without_paths(self.config), inference=self.inference)
        replace(self, config=config).save(folder, overwrite)
        write_card(folder, config, self.origin, name=name, licence=licence, panel=panel)

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool = False,
        licence: str | None = None,
        panel: bool = True,
        overwrite: bool = False,
        token: str | None = None,
    ) -> str:
        """Upload the model, with a card, to the Hugging Face Hub; the repository is created if it is not there.

        Args:
            name: ``owner/name``.
            private: a new repository is for you alone.
            licence: see :meth:`save_pretrained`.
            panel: see :meth:`save_pretrained`.
            overwrite: replace the files of a repository that holds something else.
            token: of the hub, in place of the one you logged in with.

        Returns:
            The address of the model's page.

        Raises:
            UserError: you may not, the repository holds something else, or the hub cannot be reached.
            Missing: ``huggingface_hub`` is not installed.
        """
        model = hub.HubModel.read(name)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, licence=licence, panel=panel, name=model.id)
            return hub.push(Path(folder), model, private=private, overwrite=overwrite, token=token)

    @overload
    def __call__(self, image: Image.Image) -> Image.Image: ...
    @overload
    def __call__(self, image: NDArray[Any]) -> NDArray[Any]: ...

    def __call__(self, image: Image.Image | NDArray[Any]) -> Image.Image | NDArray[Any]:
        """Translate one picture of any size; the output has the same height and width.

        Args:
            image: a PIL image, or an array ``[H, W]`` or ``[H, W, C]`` of integers of 8, 16 or 32 bits or of floats (in [0, 1], if the
                model has no range of its own).

        Returns:
            The same kind of thing: a PIL image (what the picture's EXIF data say of its orientation is left to you), or an array of
            the model's own type, ``[H, W]`` if that was given and the model makes one channel, else ``[H, W, C]``.

        Raises:
            UserError: the wrong number of channels or type of values.
        """
        if not isinstance(image, Image.Image):
            output = self.translate_array(image)
            return output[:, :, 0] if np.ndim(image) == 2 and output.shape[2] == 1 else output
        output = self.translate_array(images.from_pillow(image, palette=self._palette_use))
        if self.config.target.palette:
            return images.with_palette(output, self.config.target.palette)
        kind = output.dtype.name, output.shape[2]
        if kind not in (("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 1), ("float32", 1)):
            raise UserError(f"this model makes {kind[1]} channels of {kind[0]}, which a PIL image cannot hold: call it on an array")
        return Image.fromarray(output[:, :, 0] if kind[1] == 1 else output)

    def translate_array(self, image: NDArray[Any]) -> NDArray[Any]:
        """Translate an array ``[H, W, C]`` (or ``[H, W]``); the output is ``[H, W, C']`` in the model's own type.

        Raises:
            UserError: the wrong number of channels or type of values.
        """
        plan = None
        if isinstance(image, np.ndarray) and image.ndim in (2, 3) and 0 not in image.shape:
            made = self.config.target.file_channels * np.dtype(self.config.target.dtype).itemsize
            plan = self._tiler.plan(image.shape[0], image.shape[1], HeldBytes(float(made)))
        if plan is None:
            return self._to_array(self.translate_tensor(self.to_tensor(image)[None])[0], image)
        self._note(plan.note)
        image = image[:, :, None] if image.ndim == 2 else image
        needs_source, parts, done = self.config.target.to_encoding().needs_source, [], 0
        with _enough_memory(plan.height, plan.width, in_tiles=True):
            for rows in self._tiler.rows(ArraySource(image, self.to_tensor), plan, self.quiet):
                parts.append(self._to_array(rows, image[done : done + rows.shape[1]] if needs_source else None))
                done += rows.shape[1]
        return np.concatenate(parts)

    @property
    def _palette_use(self) -> images.PaletteUse:
        return "index" if self.config.source.to_encoding().reads_indices else "colours"

    def to_tensor(self, image: NDArray[Any]) -> Tensor:
        """An array ``[H, W, C]`` (or ``[H, W]``) as the generator sees it: float32 ``[C', H, W]`` in [-1, 1].

        Raises:
            UserError: the wrong number of channels or type of values.
        """
        if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or 0 in image.shape or image.dtype.name not in NATURAL_RANGE:
            what = (
                f"an array of shape {image.shape} and type {image.dtype}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
            )
            raise UserError(f"cannot translate {what}: give [H, W] or [H, W, C] of {TYPES}")
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            raise UserError("this float image holds values that are not finite (NaN or infinity): replace them first")
        image = image[:, :, None] if image.ndim == 2 else image
        source = self.config.source
        # a file of another depth keeps its own full range; the model's value range speaks of its own type of file
        limits = if_of_type(source.value_range, source.dtype, image.dtype.name)
        self._mention(image, source)
        if reason := outside(image, limits):
            raise UserError(f"this float image {reason}: {_SCALE}")
        what = "label map" if source.classes else "float image" if image.dtype.kind == "f" else "image"
        return source.to_encoding().encode(image, f"this {what}")

    def _to_array(self, output: Tensor, source: NDArray[Any] | None = None) -> NDArray[Any]:
        return self.config.target.to_encoding().decode(output, source)

    def translate_tensor(self, source: Tensor) -> Tensor:
        """Translate ``[N, C, H, W]`` in [-1, 1], one image at a time, so that no image's result depends on its neighbours.

        Height and width are padded by reflection to what the generator can take, and the output is cropped back. A generator of one
        size only (whose bottleneck is a vector) is given the whole image at that size, and its output is resized back. What does not fit
        the memory in one pass is translated in tiles, and that is said (see :meth:`set_tiles`).

        Raises:
            UserError: the wrong number of channels, or an image too large for the memory.
        """
        if source.ndim != 4 or source.shape[1] != self.config.source.channels:
            raise UserError(f"this model takes [N, {self.config.source.channels}, H, W]: it cannot translate {list(source.shape)}")
        height, width = source.shape[-2:]
        plan = (tiler := self._tiler).plan(height, width)
        with _enough_memory(height, width, plan is not None):
            if plan is None:
                outputs = run(self.engine, self.generator, self.config.size_multiple, source, self.inference)
            else:
                self._note(plan.note)
                made = [tiler.run(image, plan, self.quiet) for image in source]
                outputs = made[0][None] if len(made) == 1 else torch.stack(made)
        if not fits(self.generator, height, width):
            only = self.generator.only_size
            self._note(f"this model takes {only} x {only} pixels only: images are resized to that, and its outputs back")
        return outputs

    @property
    def network(self) -> TrainedNetwork:
        """Its generator with all that is known of it, for engines and exported files."""
        return TrainedNetwork(self.generator, self.config, self.inference, self._weights(), self._footprint.per_pixel)

    def export(self, out: str | Path, **keywords: Unpack[ExportKeywords]) -> Exported:
        """Write it as a file for other programs, with the present inference choices, and prove that the file gives the same pictures.

        Args:
            out: the file to write.
            keywords: ``format``, ``precision``, ``images``, ``overwrite`` and ``quiet``, see :func:`.export.export`.

        Raises:
            UserError: it cannot be written so, or gives other pictures; no file is left then.
            Missing: an extra is not installed.
        """
        from .export import export

        if self.is_exported:
            raise UserError(f"{self.origin} is an exported file, which is as it is: export the run or model it was made from")
        return export(self.network, Path(out), **keywords)

    def check_memory(self, height: int, width: int) -> TilePlan | None:
        """Find out before the work whether an image of this size can be translated in the memory there is, whole or in tiles.

        Returns:
            The tiles it goes through in; None if it goes through whole.

        Raises:
            UserError: it cannot; the message says how much it would take and how much is free.
        """
        return self._tiler.plan(height, width)

    @property
    def _tiler(self) -> Tiler:
        return Tiler(self.engine, self.generator, self.config.size_multiple, self.inference, self._footprint, self.tiling)

    def set_tiles(self, **tiling: Unpack[TilingKeywords]) -> Translator:
        """Choose when and how images are translated in tiles; what is not given is as it is without this call.

        Args:
            tiling: ``tile``, ``overlap``, ``max_memory`` and ``statistics``, see :class:`.tiling.Tiling`.

        Returns:
            This translator.

        Raises:
            UserError: a value that means nothing.
        """
        self.tiling = Tiling(**tiling)
        return self

    def _mention(self, image: NDArray[Any], source: Domain) -> None:
        """Say, once for every kind, what is done to images that are not as the model was trained on."""
        have, notes = image.shape[2], []
        if source.encoding == "values" and {have, source.channels} == {1, 3}:
            notes.append(
                "grey images go to this colour model as three equal channels"
                if have == 1
                else "colour images are converted to grey for this model"
            )
        if source.value_range is not None and if_of_type(source.value_range, source.dtype, image.dtype.name) is None:
            notes.append(
                f"{image.dtype.name} images are taken at their full range; the model's range {source.value_range} is for {source.dtype}"
            )
        for note in notes:
            self._note(note)

    @property
    def loaded(self) -> tuple[str, HowToRun] | None:
        """What :meth:`load` was called with, so that another process can load the same; None if it was built in memory."""
        return self._loaded

    @property
    def said(self) -> list[str]:
        """The notes that it has for what it has translated so far."""
        return sorted(self._said)

    def say_once(self, note: str) -> None:
        """Say a note, such as that of another process which runs the same translator, unless it has been said."""
        self._note(note)

    def _note(self, note: str) -> None:
        if note and not self.quiet and note not in self._said:
            say(f"note: {note}")
        self._said.add(note)

    def translate_file(self, source: str | Path, output: str | Path, **keywords: Unpack[FileKeywords]) -> None:
        """Translate an image file into an image file, whose suffix chooses its format.

        Args:
            source: the image; or a pattern of several files that are one image, such as ``cell_z{00..12}.png``.
            output: the image to write, of a format that can hold what the model makes.
            keywords: ``alpha``, ``half``, ``metadata``, ``overwrite`` and ``orientation``, see :class:`.folder.FileOptions`.

        Raises:
            UserError: the file cannot be read, does not fit the model, or the output cannot be written, is there already, or is a link.
        """
        self._translate_one(as_one([source]), Path(output), FileOptions(**keywords))

    def translate_files(self, sources: Sequence[str | Path], output: str | Path, **keywords: Unpack[FileKeywords]) -> None:
        """Translate several files that are one image, whose channels are theirs in this order, into an image file.

        Args:
            sources: the files.
            output: the image to write, of a format that can hold what the model makes.
            keywords: as for :meth:`translate_file`.

        Raises:
            UserError: as :meth:`translate_file`; or they differ in size or type.
        """
        self._translate_one(as_one(sources), Path(output), FileOptions(**keywords))

    def _translate_one(self, picture: FilePicture, output: Path, options: FileOptions) -> None:
        for place in (*picture.files, output):
            refuse_url(place)
        self._check_output(output, options)
        if output.exists() and any(file.exists() and output.samefile(file) for file in picture.paths):
            which = "the image" if len(picture.files) == 1 else "one of the images"
            raise UserError(f"{output} is {which} to be translated, which would be lost: choose another output")
        check_outputs([output], options.overwrite)
        refuse_single_files(self.config, [picture], picture.label)
        options = self.choose_half(picture.paths[:1], options)
        self._check_pages({output: picture}, options)
        watch, file = self._watch(), FileToTranslate(picture, output)
        with self._naming(file):
            read, maker = self._read(file, options), self._maker(options, picture)
            if isinstance(read, LargeImage):
                self._translate_large(read, options, watch, maker)
            else:
                (made,) = self._translated([read], options, watch)
                self._write(file, made, options, maker)
        self._say_of(watch)

    def read_tensor(self, file: Path, options: FileOptions | None = None) -> Tensor:
        """An image file as the generator sees it, ``[C, H, W]`` in [-1, 1].

        Raises:
            UserError: it cannot be read, does not fit the model, or is a volume.
        """
        wanted = FileToTranslate(as_one([file]), file)
        with self._naming(wanted):
            read = self._read_now(wanted, options or FileOptions())
            if read.others:
                pages = 1 + len(read.others)
                raise UserError(f"{file} has {pages} pages, each an image of its own, and one is taken here: save it by itself")
            return self._prepared(read, self._watch())

    def _read(self, file: FileToTranslate, options: FileOptions) -> ReadImage | LargeImage:
        """What is translated of a file; of one that goes in tiles only what is known of it."""
        with self._naming(file):
            pages = self._pages_of(file, options)
            large = self._check_file(file, pages[0], options)
            return large if large is not None and len(pages) == 1 else self._read_pages(file, pages, options)

    def _read_now(self, file: FileToTranslate, options: FileOptions) -> ReadImage:
        """What is translated of a file."""
        with self._naming(file):
            pages = self._pages_of(file, options)
            self._check_file(file, pages[0], options)
            return self._read_pages(file, pages, options)

    def _pages_of(self, file: FileToTranslate, options: FileOptions) -> list[FilePicture]:
        how: dict[str, Any] = {"palette": self._palette_use, "no_data": self._trained_no_data, "max_pixels": options.max_pixels}
        how["level"] = options.level
        reading, picture = self._page_reading(options), replace(file.picture, orientation=self._orientation(options), **how)
        return reading.pages(picture, source=True) if reading.are_pictures else [replace(picture, pages=reading.use)]

    def _read_pages(self, file: FileToTranslate, pages: Sequence[FilePicture], options: FileOptions) -> ReadImage:
        return replace(self._read_page(replace(file, picture=pages[0]), options), others=tuple(pages[1:]))

    def _read_page(self, file: FileToTranslate, options: FileOptions) -> ReadImage:
        array, facts = file.picture.examine(options.alpha, "--alpha")
        half = images.split_halves(array, file.source)[options.half == "right"] if options.half is not None else array
        return ReadImage(file, array, half, facts, data=data_of(half, facts.no_data))

    def _page_reading(self, options: FileOptions) -> PageReading:
        """What becomes of pages: as is asked for, or as in the training. Who learnt from slices with their neighbours gets them here."""
        known: Any = self._trained.get("pages")
        trained: PageUse = known if known in get_args(PageUse) else "channels" if self._trained else "ask"
        use = options.pages or trained
        neighbours = self._trained.get("depth_neighbours", 1)
        if trained == "depth" and use in ("images", "depth") and isinstance(neighbours, int):
            return PageReading("depth", neighbours)
        return PageReading(use, 0)

    def _check_pages(self, outputs: Mapping[Path, FilePicture], options: FileOptions) -> None:
        """Refuse outputs that cannot hold as many pages as their pictures have, where each is going to be one of the output.

        Raises:
            UserError: a picture has several, and the output's format holds one.
        """
        flat = {output: one for output, one in outputs.items() if not images.can_hold_pages(output)}
        for output, picture in flat.items() if self._page_reading(options).are_pictures else ():
            if (count := page_count(picture) or 1) > 1:
                raise UserError(
                    f"{picture.label} has {count} pages, and {output.name} would have as many: write a .tif or .npy file, which holds them"
                )

    def _translated(self, files: Sequence[ReadImage], options: FileOptions, watch: PictureWatch) -> list[TranslatedPages]:
        """What becomes of each file, page by page."""
        tensors = self.translate_tensor(torch.stack([self._prepared(file, watch) for file in files]))
        outputs = [TranslatedPages([self._output(tensor, file)], file.facts.page_axis) for tensor, file in zip(tensors, files)]
        for file, pages in zip(files, outputs):
            for picture in file.others:
                with self._naming(file.file):
                    read = self._read_page(replace(file.file, picture=picture), options)
                pages.images.append(self._output(self.translate_tensor(self._prepared(read, watch)[None])[0], read))
        return outputs

    def _translated_or_written(
        self, files: Sequence[ReadImage | LargeImage], options: FileOptions, watch: PictureWatch, makers: Mapping[FilePicture, str]
    ) -> list[TranslatedPages | None]:
        """As :meth:`_translated`; of a large image, which comes alone, nothing, as it is written already."""
        if isinstance(first := files[0], LargeImage):
            self._translate_large(first, options, watch, makers[first.file.picture])
            return [None]
        return [*self._translated([file for file in files if isinstance(file, ReadImage)], options, watch)]

    def _translate_large(self, large: LargeImage, options: FileOptions, watch: PictureWatch, maker: str) -> None:
        """Translate an image in tiles, read and written piece by piece as far as the formats allow."""
        with self._naming(large.file), ExitStack() as opened:
            windows, plan = self._plan_large(large, options, always=True)
            if windows is not None:
                opened.callback(windows.close)
            assert plan is not None
            image, look = self._in_parts(large, windows, options, watch)
            begin, convert = self._rows_of(large, image, options, maker)
            writer = begin()
            if writer.dropped:
                self._note(f"what another command has begun of {large.file.output} is dropped")
            if (known := writer.beside) is not None:
                if self._tiler.fits_in_tiles(plan.height, plan.width, known["side"], self._held(large, windows)):
                    plan = self._tiler.again(plan.height, plan.width, known["side"])
                    there = f"{writer.rows:,} of {plan.height:,} rows" if writer.rows else "the statistics of its tiles"
                    self._note(f"{large.file.output} goes on where it was cut off: {there} are there")
                else:
                    self._note(f"{large.file.output} begins anew: the tiles in which it was begun do not fit the memory now")
                    writer.discard()
                    writer = begin()
            self._note(plan.note)
            first = plan.grid.rows[plan.grid.row_at(writer.rows)].start if windows is not None else plan.height
            for part in blocks(min(first, plan.height), plan.width, 1):
                look(image.source.rows(part.start, part.stop))
            try:
                with _enough_memory(plan.height, plan.width, in_tiles=True):
                    PiecewiseTranslation(self._tiler, plan, image.source, writer, convert, look, self.quiet).run()
                writer.close()
            except UserError:
                writer.discard()
                raise
            except BaseException:
                if writer.keep():
                    self._note(f"the same command goes on with {large.file.output} where this one ended")
                raise

    def _in_parts(
        self, large: LargeImage, windows: WindowedImage | None, options: FileOptions, watch: PictureWatch
    ) -> tuple[ImageInParts, Callable[[NDArray[Any]], None]]:
        """A large image, with what is made of any part of it for the network; and what looks at all of its rows, each once."""
        config, picture, array = self.config.source, large.picture, None
        encoding, label = config.to_encoding(), picture.label
        if windows is not None:
            facts, channels, dtype = windows.facts, windows.channels, windows.dtype
            height, width = windows.height, windows.width
        else:
            array, facts = picture.examine(options.alpha, "--alpha")
            (height, width, channels), dtype = array.shape, array.dtype.name
        known: Range | None = if_of_type(config.value_range, config.dtype, dtype)
        given: Range | NDArray[Any] | None = None if config.classes else known
        parts = watch.in_parts(height, width, dtype, facts)
        seen = 0

        def encode(part: NDArray[Any]) -> Tensor:
            whole, _ = without_no_data(part, facts.no_data, given)
            if config.classes:
                return encoding.encode(whole, label)
            if reason := outside(part, known, facts.no_data):
                raise UserError(f"{label} {reason}: {_SCALE}")
            return self.to_tensor(whole)

        def look(rows: NDArray[Any]) -> None:
            nonlocal seen
            seen += len(rows)
            if not config.classes:
                parts.add(rows)
                if seen == height:
                    watch.take(label, dtype, parts, facts, channels)
            elif self._colours is not None:
                self._colours.look(label, without_no_data(rows, facts.no_data, given)[0])

        source: TileSource
        if windows is not None:
            source = WindowSource(windows, encode)
        else:
            assert array is not None
            source = ArraySource(array, encode)
        if config.classes:
            encoding.check(label, facts)
            if facts.no_data is not None:
                given = next(_classes_in(source, facts.no_data), None)
        else:
            self._check_pages_of(label, facts, channels)
        return ImageInParts(label, facts, source, given), look

    def _rows_of(
        self, large: LargeImage, image: ImageInParts, options: FileOptions, maker: str
    ) -> tuple[Callable[[], RowWriter], Callable[[Tensor, int], NDArray[Any]]]:
        """What begins the file of a large image, or goes on with it, and what makes its rows of the network's."""
        output, target, declared = large.file.output, self.config.target, image.facts.no_data
        needs_source = target.to_encoding().needs_source
        sample = image.source.rows(0, 1)[:, :1]
        example = self._to_array(torch.zeros(target.channels, 1, 1), image.filled(sample)[0] if needs_source else None)
        if needs_source:
            self._say_of_depth(sample.dtype.name)
        holes = functools.cache(lambda: any(image.filled(rows)[1] is not None for rows in image.rows()))
        value = self._no_data_value(declared, holes)
        tagged = value is not None and images.check_format(output, target.file_channels, target.dtype) == "TIFF"

        def convert(rows: Tensor, top: int) -> NDArray[Any]:
            if not needs_source and declared is None:
                return self._to_array(rows)
            part, data = image.filled(image.source.rows(top, top + rows.shape[1]))
            array = self._to_array(rows, part if needs_source else None)
            moved = 0
            if value is not None and tagged:
                array, moved = with_no_data(array, data, value)
            elif value is not None and data is not None:
                array = filled(array, data, value)
            self._say_of_no_data(declared, value, data is not None, moved > 0, tagged)
            return array

        about = replace(self._metadata(large.picture.paths[0], output, options, value if tagged else None), maker=maker)
        shape = ImageShape(image.source.height, image.source.width, example.shape[2], example.dtype.name)
        files = [(str(real_path(file)), file.stat().st_size, file.stat().st_mtime_ns) for file in large.picture.paths]
        work = json.dumps([__version__, maker, files, options.metadata, asdict(shape), value, tagged, str(output.suffix).lower()])
        key = hashlib.sha256(work.encode("utf-8", "surrogatepass")).hexdigest()
        pyramid = reduction_for(output, shape, options.pyramid, large.picture.paths[0], bool(target.classes))
        return lambda: images.open_rows(output, shape, about, key, pyramid), convert

    def _prepared(self, read: ReadImage, watch: PictureWatch) -> Tensor:
        source, array, facts = read.file.picture.label, read.array, read.facts
        with self._naming(read.file):
            if self.config.source.classes:
                encoding = self.config.source.to_encoding()
                encoding.check(source, facts)
                array = read.filled(None, classes=True)
                if self._colours is not None:
                    self._colours.look(source, array)
                return encoding.encode(array, source)
            watch.look(source, read.whole, facts)
            known = if_of_type(self.config.source.value_range, self.config.source.dtype, array.dtype.name)
            if reason := outside(array, known, facts.no_data):
                raise UserError(f"{source} {reason}: {_SCALE}")
            self._check_pages_of(source, facts, array.shape[2])
            return self.to_tensor(read.filled(known))

    def _check_pages_of(self, label: str, facts: FileFacts, have: int) -> None:
        """Refuse a file whose pages are other channels than the model takes."""
        channels = self.config.source.channels
        if facts.pages > 1 and facts.page_axis != "C" and have != channels and {have, channels} != {1, 3}:
            raise UserError(f"{label} holds {describe_pages(facts)}, read as {have} channels, and this model takes {channels}: see --pages")

    def _output(self, output: Tensor, read: ReadImage) -> TranslatedImage:
        """What is kept of an image until its output is written."""
        known = if_of_type(self.config.source.value_range, self.config.source.dtype, read.array.dtype.name)
        needed = read.filled(known, bool(self.config.source.classes)) if self.config.target.to_encoding().needs_source else None
        if needed is not None:
            self._say_of_depth(needed.dtype.name)
        return TranslatedImage(output, needed, read.data, read.facts.no_data)

    def _say_of_depth(self, dtype: str) -> None:
        if dtype not in ("uint8", "uint16"):
            self._note(f"photos of {dtype} are written as {self.config.target.dtype}: coloured ones have 8 or 16 bits")

    def _write(self, file: FileToTranslate, output: TranslatedPages, options: FileOptions, maker: str) -> None:
        with self._naming(file):
            arrays, value = self._with_no_data(
                [self._to_array(page.tensor, page.source) for page in output.images], output.images, file.output
            )
            about = replace(self._metadata(file.source, file.output, options, value), maker=maker)
            pyramid = self._pyramid_of(file.output, arrays, file.source, options)
            if pyramid is None:
                images.write_pages(file.output, arrays, about, output.axis)
            else:
                images.write_pyramid(file.output, arrays[0], about, pyramid)

    def _pyramid_of(self, output: Path, arrays: Sequence[NDArray[Any]], source: Path, options: FileOptions) -> Reduction | None:
        height, width, channels = arrays[0].shape
        shape = ImageShape(height, width, channels, arrays[0].dtype.name)
        return reduction_for(output, shape, options.pyramid, source, bool(self.config.target.classes), len(arrays))

    def encoded(self, source: Path, output: Tensor, name: str, options: FileOptions | None = None) -> bytes:
        """The bytes that :meth:`translate_file` writes, of what :meth:`translate_tensor` made of :meth:`read_tensor`.

        Args:
            source: the image file.
            output: ``[C, H, W]`` in [-1, 1].
            name: of the file that they would be, whose suffix is the format.
            options: how the source was read.

        Raises:
            UserError: the format cannot hold what the model makes.
        """
        options, made = options or FileOptions(), TranslatedImage(output)
        known = self._trained_no_data
        may_hold_none = known != "none" and (known != "tag" or images.metadata_of(source).declares_no_data())
        if may_hold_none or self.config.target.to_encoding().needs_source:
            made = self._output(output, self._read_now(FileToTranslate(as_one([source]), source), options))
        (array,), value = self._with_no_data([self._to_array(output, made.source)], [made], Path(name))
        about = replace(self._metadata(source, Path(name), options, value), maker=self._maker(options))
        if (pyramid := self._pyramid_of(Path(name), [array], source, options)) is None:
            return images.encode(name, array, about)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, Path(name).name)
            images.write_pyramid(file, array, about, pyramid)
            return file.read_bytes()

    @property
    def _trained_no_data(self) -> NoData:
        """What means "nothing here" in files, as the training was told."""
        given: Any = self._trained.get("source_nodata")
        given = self._trained.get("nodata", self.config.source.no_data) if given is None else given
        return float(given) if type(given) in (int, float) else given if given in ("nan", "none") else "tag"

    def _with_no_data(
        self, arrays: list[NDArray[Any]], made: Sequence[TranslatedImage], output: Path
    ) -> tuple[list[NDArray[Any]], float | None]:
        """Outputs in which nothing is where nothing is in their sources, and the value that says so; None if no value does.

        It is the source's own value, or else that of the training's targets, or else NaN (0 of integers). What is made elsewhere and has
        that value by chance is moved by the smallest step, if the file says what it means.
        """
        declared = made[0].no_data
        holes = any(one.data is not None for one in made)
        value = self._no_data_value(declared, lambda: holes)
        tagged = value is not None and images.check_format(output, self.config.target.file_channels, self.config.target.dtype) == "TIFF"
        moved = False
        if value is not None and tagged:
            found = [with_no_data(array, one.data, value) for array, one in zip(arrays, made)]
            arrays, moved = [array for array, _ in found], any(count for _, count in found)
        elif value is not None:
            arrays = [array if one.data is None else filled(array, one.data, value) for array, one in zip(arrays, made)]
        self._say_of_no_data(declared, value, holes, moved, tagged)
        return arrays, value if tagged else None

    def _no_data_value(self, declared: float | None, holes: Callable[[], bool]) -> float | None:
        """What means "nothing here" in an output; None if nothing does.

        Args:
            declared: what does in its source.
            holes: whether anything there has that value.
        """
        target = self.config.target
        if declared is None or target.classes or target.encoding != "values" or (not holds(target.dtype, declared) and not holes()):
            return None
        return no_data_for(target.dtype, declared, target.no_data)

    def _say_of_no_data(self, declared: float | None, value: float | None, holes: bool, moved: bool, tagged: bool) -> None:
        """What is done where the source holds no data; each sentence comes once."""
        target = self.config.target
        if declared is None:
            return
        if value is None:
            if holes and (target.classes or target.encoding != "values"):
                self._note("where the source holds no data, the output is what the model makes of it: its encoding has no value for that")
            return
        word = "NaN" if math.isnan(value) else number(value)
        if not tagged:
            if holes:
                self._note(f"where the source holds no data, the output holds {word}; only a tif file can say that it means no data")
            return
        if not holds(target.dtype, declared):
            self._note(
                f"{target.dtype} cannot hold {number(declared)}: where the source holds no data, the output holds {word}, and says so"
            )
        if moved:
            self._note(f"values of the output that would be {word}, which means no data in it, are one step beside it")

    @staticmethod
    @contextmanager
    def _naming(file: FileToTranslate) -> Iterator[None]:
        """Errors name the file."""
        try:
            yield
        except UserError as error:
            if any(str(path) in str(error) for path in (*file.picture.paths, file.output)):
                raise
            raise UserError(f"{file.picture.label}: {error}") from error

    def choose_half(self, files: Sequence[Path], options: FileOptions) -> FileOptions:
        """The options with no half where whole images are asked for. A model of side-by-side pairs is not given pairs unasked.

        Raises:
            UserError: nothing is said of halves, and images have the shape of such a pair.
        """
        if options.half is not None:
            return replace(options, half=None) if options.half == "none" else options
        data = (self.config.recipe or {}).get("data") or {}
        orientation = self._orientation(options)
        double = [file for file in files if _is_double(file, orientation, options.level)] if data.get("kind") == "side_by_side" else []
        if double:
            first = f"{double[0]} is" if len(double) == 1 else f"{len(double)} of {len(files)} images ({double[0].name}, ...) are"
            half = "left" if data.get("direction", "AtoB") == "AtoB" else "right"
            raise UserError(
                f"{first} twice as wide as high, like the side-by-side pairs this model was trained on, whose {half} half is the source: "
                f"translate it by --half {half} (or the other), or whole images by --half none"
            )
        return options

    def _check_file(self, file: FileToTranslate, picture: FilePicture, options: FileOptions) -> LargeImage | None:
        """:meth:`check_memory` from a file's header, before anything is decoded; and the file itself, if it goes in tiles.

        What is wrong with the file is said when it is read.
        """
        try:
            header = images.size_of(picture.paths[0], picture.orientation, "channels", picture.level)
        except (UserError, Missing):
            return None
        half: Any = options.half
        beyond = images.is_beyond_limit(header.width, header.height, header.channels, options.max_pixels)
        large = LargeImage(file, replace(picture, half=half), header, beyond)
        windows, plan = self._plan_large(large, options)
        if windows is not None:
            windows.close()
        return None if plan is None else large

    def _plan_large(self, large: LargeImage, options: FileOptions, always: bool = False) -> tuple[WindowedImage | None, TilePlan | None]:
        """What reads rectangles of an image, if its file gives any, and its tiles; None if it goes through whole, unless ``always``."""
        picture, header = large.picture, large.header
        width = header.width if picture.half is None else header.width // 2
        maybe = always or large.is_beyond_limit or self.tiling != Tiling() or header.height * width > SMALL
        windows = picture.open_windows(options.alpha, "--alpha") if maybe else None
        try:
            plan = self._tiler.plan(
                header.height, width, self._held(large, windows), always or (large.is_beyond_limit and windows is not None)
            )
        except UserError:
            if windows is None:
                images.check_claim(picture.paths[0], options.max_pixels)  # perhaps the file is not what its header says
            else:
                windows.close()
            raise
        return windows, plan

    def _held(self, large: LargeImage, windows: WindowedImage | None) -> HeldBytes:
        """What is in memory of an image while it goes in tiles."""
        waiting = 8.0 * self.config.target.channels  # rows that wait to be written
        if windows is None:
            header = large.header
            return HeldBytes(float(header.channels * np.dtype(header.dtype).itemsize * len(large.picture.files)), waiting)
        per_pixel = float(windows.channels * np.dtype(windows.dtype).itemsize)
        return HeldBytes(0.0, 3 * per_pixel + waiting, SAMPLES * per_pixel)  # rows at hand, before and next; squares for statistics

    def _orientation(self, options: FileOptions) -> Orientation:
        return options.orientation or ("ignore" if self._trained.get("orientation") == "ignore" else "apply")

    @property
    def _trained(self) -> dict[str, Any]:
        """The data section of its recipe; empty if it does not say what it was trained on."""
        data = (self.config.recipe or {}).get("data")
        return data if isinstance(data, dict) else {}

    def _watch(self) -> PictureWatch:
        """Over the files that are translated: what does not look as what the model was trained on."""
        source = self.config.source
        encoding = source.to_encoding()
        self._colours = ColourWatch(encoding, "label maps") if isinstance(encoding, LabelMaps) else None
        beyond = beyond_percentiles(self._trained.get("source_percentiles"))
        values = Watch("images", source.value_range, effect="look dark to the model", meant=source.dtype, beyond=beyond)
        watch = PictureWatch(values, source.file_names)
        kept = "" if self.config.target.encoding != "values" else ", and what it makes there is no data either"
        watch.files.of_no_data = f"the model is given {'one of its classes' if source.classes else 'black'} in its place{kept}"
        return watch

    def watch_a_part(self) -> PictureWatch:
        """A watch over a part of the files, in another process perhaps; what it has seen is for the watch over all of them."""
        watch = self._watch().of_a_part()
        self._colours = None if self._colours is None else self._colours.of_a_part()
        return watch

    def colours_of_a_part(self) -> list[ColourLook]:
        """What was seen of the colours of label maps since :meth:`watch_a_part`."""
        return [] if self._colours is None else self._colours.looks or []

    def take_in_colours(self, looks: Iterable[ColourLook]) -> None:
        """Take in what another process has seen of label maps."""
        if self._colours is not None:
            for look in looks:
                self._colours.take_in(look)

    def _say_of(self, watch: PictureWatch) -> None:
        for note in (*watch.notes(), *([] if self._colours is None else self._colours.notes())):
            self._note(note)

    def _metadata(self, source: Path, output: Path, options: FileOptions, no_data: float | None = None) -> Metadata:
        """What the output is going to say beside its pixels; what of the source it cannot say is said here, once of each kind."""
        target = self.config.target
        kind = images.check_format(output, target.file_channels, target.dtype)
        palette = target.palette if kind in images.WITH_PALETTE else ()  # an array holds the indices alone
        if kind != "PNG" and any(colour[3:] for _, colour in target.palette):
            self._note(f"a {kind} file has no place for the transparency of the palette: a .png file has")
        own = Metadata(palette=palette, channel_names=target.file_names if kind == "TIFF" else ())
        if target.file_names and not own.channel_names and not are_primaries(target.file_names):
            self._note(f"a {kind} file has no place for the names of the channels ({brief_names(target.file_names)}): a .tif file has")
        if options.metadata == "drop":
            return own.with_no_data(no_data)
        found = images.metadata_of(source, options.level)
        if self._orientation(options) == "ignore":  # so the pixels are as they lie in the file
            found = replace(found, orientation=1)
        if no_data is not None or target.encoding != "values":
            if no_data is None and found.declares_no_data():
                self._note("the no-data value of the source is not kept: in the output it would be a class or a colour")
            found = found.with_no_data(None)
        kept, lost = found.fitting(kind, target.file_channels, target.dtype, same_grid=options.half is None)
        for sentence in lost:
            self._note(sentence)
        kept = kept if no_data is None else kept.with_no_data(no_data)
        return replace(kept, palette=own.palette, channel_names=own.channel_names)

    def check_output(self, output: Path) -> None:
        """Find out before the work whether a file of this name can hold what the model makes.

        Raises:
            UserError: it cannot; the message says what can.
        """
        target = self.config.target
        kind = images.check_format(output, target.file_channels, target.dtype)
        if target.classes and (kind == "JPEG" or (kind == "WEBP" and target.file_channels == 1)):
            reason = "changes their colours" if kind == "JPEG" else "holds no numbers of classes"
            raise UserError(f"{output}: this model makes label maps, and a {kind} file {reason}: write a .png or .tif file instead")

    def _check_output(self, output: Path, options: FileOptions) -> None:
        self.check_output(output)
        check_pyramid(output, options.pyramid, self.config.target.file_channels, self.config.target.dtype)

    def translate_folder(
        self,
        source: str | Path,
        output: str | Path,
        *,
        format: str | None = None,
        quiet: bool = False,
        on_file: Callable[[Path], None] | None = None,
        skip_existing: bool = False,
        batch: int = 1,
        **keywords: Unpack[FileKeywords],
    ) -> Written:
        """Translate every image of a folder, in natural order, each by itself: same names, any number.

        Args:
            source: the folder; sub-folders are kept. Or a pattern of several files that are one image each, such as
                ``cells/{name}_z{00..12}.png``; or a manifest (``.csv``, ``.tsv``, ``.jsonl``) with a column ``source``.
            output: the folder to write; created if absent, and not inside ``source``.
            format: of the files written (``png``, ``jpg``, ``webp``, ``tif``, ``bmp``, ``npy``, ``npz``), or ``same`` as each input where
                that can be written; None is ``png``, or ``tif`` (and a line that says so) for a model whose images a PNG cannot hold.
            quiet: no progress line and no notes.
            on_file: called with every file written.
            skip_existing: leave outputs that are there, whole, no older than their images and made by this model in this way: go on
                where a batch was broken off.
            batch: images of one size that go through the network together, where the engine gives bit for bit the same then; else they go
                one by one.
            keywords: ``alpha``, ``half``, ``metadata``, ``overwrite`` and ``orientation``, see :class:`.folder.FileOptions`.

        Returns:
            The files written, in order; it also knows which were skipped.

        Raises:
            UserError: before anything is translated: there is nothing to translate, the output cannot be written, the format cannot hold
                the model's images, two inputs would have one output's name, an output would replace an input or a file that this tool did
                not write, or is a link; at the end: the files that could not be translated (all others have been).
            Missing: likewise at the end, if all that those files lack is an optional package.
        """
        ways: TranslateKeywords = {"format": format, "skip_existing": skip_existing, "batch": batch, **keywords}
        translator = replace(self, quiet=quiet or self.quiet)
        work, watch = translator.plan_folder(source, output, **ways), translator._watch()
        with closing(translator.work_on(work.files, work, watch)) as results:
            for file, error in track(results, len(work.files), "translate", quiet=quiet):
                if work.take_down(file, error) and on_file is not None:
                    on_file(file.output)
        translator._say_of(watch)
        return work.end()

    def plan_folder(self, source: str | Path, output: str | Path, **keywords: Unpack[TranslateKeywords]) -> FolderWork:
        """What :meth:`translate_folder` is going to do, found out, checked and said before anything is translated.

        Args:
            source: as there.
            output: as there; it is created.
            keywords: as there.

        Raises:
            UserError: as there.
        """
        how: dict[str, Any] = {**keywords}
        wanted, skip_existing, batch = how.pop("format", None), how.pop("skip_existing", False), how.pop("batch", 1)
        for place in (source, output):
            refuse_url(place)
        found, output, options = find_pictures(source, self._columns), Path(output), FileOptions(**how)
        for note in [] if self.quiet else found.notes:
            say(f"note: {note}")
        outputs, options = self.outputs_of(found, output, wanted, options)
        check_outputs(outputs, options.overwrite, below=output)
        check_writable_folder(output)
        for note in [] if self.quiet else (other_formats(outputs) if wanted == "same" else "", neighbours(outputs, output)):
            if note:
                say(f"note: {note}")
        written = Written(inputs=len(found.pictures))
        makers = functools.cache(lambda picture: self._maker(options, picture))
        usual = makers(None)
        maker_of = {picture: makers(picture) if len(picture.files) > 1 else usual for picture in outputs.values()}
        if skip_existing:
            told = replace(options, orientation=self._orientation(options))
            looked = track(outputs.items(), len(outputs), "see what is done", quiet=self.quiet or len(outputs) < MANY)
            written.skipped = [file for file, one in looked if _is_done(one.paths, file, maker_of[one], told)]
            done = set(written.skipped)
            outputs = {file: one for file, one in outputs.items() if file not in done}
        files = [FileToTranslate(picture, file, maker_of[picture]) for file, picture in outputs.items()]
        return FolderWork(files, options, batch, found.folder, written)

    def outputs_of(
        self, found: FoundPictures, output: Path, format: str | None, options: FileOptions, seen: Sequence[FilePicture] | None = None
    ) -> tuple[dict[Path, FilePicture], FileOptions]:
        """The picture of each file that will be written, and how pictures are read, before any is.

        Args:
            found: the pictures.
            output: the folder to write.
            format: of what is written, as of :meth:`translate_folder`.
            options: how pictures are read, as was asked for.
            seen: those that can be looked at now; None is all of them.

        Raises:
            UserError: as :meth:`translate_folder`.
        """
        seen = found.pictures if seen is None else seen
        refuse_single_files(self.config, seen, found.place)
        if self._page_reading(options).use == "ask":
            refuse_unsaid(seen[:1])
        wanted = format or self._format_for(seen, options, self.quiet)
        outputs = plan_outputs(found, output, wanted, lambda file: self._check_output(file, options), self.quiet)
        looked = {*seen} if len(seen) < len(found.pictures) else None
        self._check_pages(outputs if looked is None else {file: one for file, one in outputs.items() if one in looked}, options)
        return outputs, self.choose_half([picture.paths[0] for picture in seen], options)

    def work_on(
        self, files: Sequence[FileToTranslate], work: FolderWork, watch: PictureWatch
    ) -> abc.Generator[tuple[FileToTranslate, Exception | None], None, None]:
        """Translate files that were planned: each is read while others are in the network, and written while the next are.

        Args:
            files: all of the work's, or some.
            work: how.
            watch: looks at them.

        Yields:
            Each file when it is written, in order, and its failure, or None.
        """
        options, makers = work.options, {file.picture: file.maker for file in files}
        return overlapped(
            files,
            read=lambda file: self._read(file, options),
            run=lambda some: self._translated_or_written(some, options, watch, makers),
            write=lambda file, output: None if output is None else self._write(file, output, options, file.maker),
            kind=lambda file: id(file) if isinstance(file, LargeImage) else (file.array.shape, file.others),
            batch=work.batch if self.engine.exact_batches else 1,
            errors=(UserError, Missing),
        )

    @property
    def _columns(self) -> tuple[str, ...]:
        """Where its sources stand in a manifest: in the second column, if it was trained on a manifest from B to A."""
        swapped = self._trained.get("kind") == "manifest" and self._trained.get("direction") == "BtoA"
        return ("target", "source") if swapped else ("source",)

    def _maker(self, options: FileOptions, picture: FilePicture | None = None) -> str:
        """A word that is the same for outputs of the same weights, run in the same way; and of the same files where several are one."""
        engine = [self.engine.name, self.engine.precision, _NOISE]
        several = [[path.name for path in picture.paths]] if picture is not None and len(picture.files) > 1 else []
        read: tuple[Any, ...] = options.alpha, options.half, self._orientation(options)
        if (reading := self._page_reading(options)).are_pictures:
            read = *read, reading.use, reading.neighbours
        tiles = [] if self.tiling == Tiling() else [asdict(self.tiling)]
        levels = [f"level {options.level}"] * (options.level > 0) + [f"pyramid {options.pyramid}"] * (options.pyramid != "auto")
        how = json.dumps([asdict(self.inference), *read, self._weights(), engine, *several, *tiles, *levels])
        return f"model-{hashlib.sha256(how.encode()).hexdigest()[:12]}"

    def _weights(self) -> str:
        if isinstance(self.generator, ExportedGenerator):
            return self.generator.about.weights
        versions = self._versions()
        if self._hashed is None or self._hashed[0] != versions:
            found = hashlib.sha256()
            for name, tensor in sorted(self.generator.state_dict().items()):
                found.update(name.encode())
                found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
            self._hashed = versions, found.hexdigest()
        return self._hashed[1]

    def _versions(self) -> list[tuple[str, int, int]]:
        """Another list as soon as one of the weights was replaced or written to."""
        state = sorted(self.generator.state_dict().items())
        return [(name, tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for name, tensor in state]

    def _format_for(self, pictures: Sequence[FilePicture], options: FileOptions, quiet: bool) -> str:
        """The usual format, or one that holds several pages where a picture has them; that is said."""
        usual = self.usual_format(quiet)
        if usual == "tif" or not self._page_reading(options).are_pictures or all((page_count(picture) or 1) == 1 for picture in pictures):
            return usual
        if not (quiet or self.quiet):
            say(f"note: the images are written as tif: some have several pages, which a {usual} does not hold")
        return "tif"

    def usual_format(self, quiet: bool = False) -> str:
        """``png``, or ``tif`` where a PNG cannot hold what the model makes, or has no place for its channels' names; that is said."""
        names = self.config.target.file_names
        if names and not are_primaries(names):
            if not quiet:
                say(f"note: the images are written as tif: a png has no place for the names of the channels ({listed(names, 8)})")
            return "tif"
        try:
            self.check_output(Path("image.png"))
        except UserError:
            target = self.config.target
            if not quiet:
                say(f"note: the images are written as tif: a png cannot hold {counted(target.file_channels, 'channel')} of {target.dtype}")
            return "tif"
        return "png"


def _classes_in(source: TileSource, no_data: float) -> Iterator[NDArray[Any]]:
    """The number or colour of a pixel that holds data, of a few rows after the other."""
    for part in blocks(source.height, source.width, 1):
        rows = source.rows(part.start, part.stop)
        data = data_of(rows, no_data)
        if (found := rows[0, 0] if data is None else of_class(rows, data)) is not None:
            yield found


@contextmanager
def _enough_memory(height: int, width: int, in_tiles: bool) -> Iterator[None]:
    """That there is not is a sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search("out of memory|allocate memory", str(error)):
            raise
        smaller = "smaller tiles" if in_tiles else "tiles (such as --tile 512)"
        raise UserError(
            f"{width} x {height} pixels need more memory than there is: translate it in {smaller}, or choose another device"
        ) from error


def _is_double(file: Path, orientation: Orientation, level: int) -> bool:
    """Whether an image has the shape of a square side-by-side pair; what cannot be read is said when it is translated."""
    try:
        size = images.size_of(file, orientation, "channels", level)
    except (UserError, Missing):
        return False
    return size.width == 2 * size.height


def _is_done(files: Sequence[Path], output: Path, maker: str, options: FileOptions) -> bool:
    """Whether an output is there, whole, no older than the files, and what this maker would make of them, as far as can be seen."""
    try:
        if max(file.stat().st_mtime_ns for file in files) > output.stat().st_mtime_ns:
            return False
        software = images.software(output) or ""
        if unsealed(software).split(" ")[-1] != maker or not is_sealed_file(output, software):
            return False
        size = images.size_of(files[0], options.orientation or "apply", "channels", options.level)
        generated = images.size_of(output, pages="channels")
    except (OSError, UserError, Missing):
        return False
    return (generated.height, generated.width) == (size.height, size.width // 2 if options.half is not None else size.width)

"""Translate a file, or a folder to a folder; several files may be one image; either may be in object storage."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import RunFailure, UserError
from ...progress import print_result, say
from ..options import (
    add_alpha,
    add_executor,
    add_ignore_orientation,
    add_model,
    add_overwrite,
    add_pages,
    add_plugins,
    add_quiet,
    add_tiles,
    after,
    cluster_options,
    open_model,
    tiling,
)

if TYPE_CHECKING:
    from ...translation.folder import FileKeywords

GROUP = "train and translate"
EPILOG = """\
examples:

  transfigure translate runs/facades labels/ generated/
  transfigure translate runs/facades label.png facade.png --noise none
  transfigure translate runs/stain 'raw/{name}_z{00..12}.png' stained/
  transfigure translate runs/stain well.tif stained.tif --max-memory 3GB
  transfigure translate runs/stain slides/ stained/ --executor ray --address auto
  transfigure translate runs/facades s3://bucket/labels s3://bucket/generated
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A model, what it reads and what it writes."""
    add_model(parser)
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="an image or a folder of images, also as a URL such as s3://bucket/folder; '{name}_z{00..12}.png' for files that are one "
        "image; or a manifest",
    )
    parser.add_argument("output", metavar="OUTPUT", help="the image or the folder to write, or the URL of either")
    parser.add_argument(
        "--format",
        choices=["png", "jpg", "webp", "tif", "bmp", "npy", "npz", "same"],
        help="of what is written (default: png, or tif where a png cannot hold it)",
    )
    parser.add_argument("--half", choices=["left", "right", "none"], help="translate this half of side-by-side files; none: whole images")
    add_alpha(parser)
    add_pages(parser, " (default: as the model was trained)")
    add_ignore_orientation(parser)
    parser.add_argument(
        "--metadata",
        choices=["keep", "drop"],
        default="keep",
        help="georeference, colour profile, resolution, date, camera and position of the source (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16", "float16"],
        default="float32",
        help="number format of weights and activations; the halves are faster where the device computes in them (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="images of one size together, where that changes no bit (default: %(default)s)"
    )
    add_tiles(parser)
    parser.add_argument(
        "--max-pixels",
        metavar="N",
        help="largest image that is decoded whole, such as 400M; TIFF and NPY files that go in tiles have no limit (default: 179M)",
    )
    parser.add_argument("--level", type=int, default=0, metavar="N", help="of a whole slide or a pyramid (default: 0, the full size)")
    parser.add_argument(
        "--pyramid",
        choices=["auto", "on", "off"],
        default="auto",
        help="write the image and smaller copies of it, for viewers of slides: of sources with levels, and as .ome.tif of more than "
        "2,048 pixels a side; always; never (default: %(default)s)",
    )
    add_overwrite(parser)
    parser.add_argument(
        "--skip-existing", action="store_true", help="of a folder: leave what this model has written already, and go on with the rest"
    )
    add_plugins(parser)
    add_quiet(parser)
    add_executor(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Translate, and print what was written."""
    cluster = cluster_options(options)
    translator = open_model(options).set_precision(options.precision)
    from ...data.file_patterns import FilePattern
    from ...data.images import can_be_written
    from ...data.pictures import is_pictures
    from ...scale.storage import ObjectFolder, is_url, without_file_protocol
    from ...translation.folder import FORMATS, suffix_of
    from ...translation.tiling import parse_count

    translator.set_tiles(**tiling(options))

    options.input, options.output = map(without_file_protocol, (options.input, options.output))
    source, output = Path(options.input), Path(options.output)
    stored_input, stored_output = (ObjectFolder.at(one) if is_url(one) else None for one in (options.input, options.output))
    pattern = FilePattern.read(options.input) if stored_input is None else None
    if stored_input is not None:
        several = options.input.endswith("/") or not stored_input.is_object()
    elif not os.path.lexists(source) and not is_pictures(options.input):
        raise UserError(f"{source} does not exist: give an image or a folder of images")
    else:
        several = is_pictures(options.input)
    how: FileKeywords = {"half": options.half, "alpha": options.alpha, "metadata": options.metadata, "overwrite": options.overwrite}
    how |= {"level": options.level, "pyramid": options.pyramid}
    if options.pages is not None:
        how["pages"] = options.pages
    if options.max_pixels is not None:
        how["max_pixels"] = parse_count(options.max_pixels)
    if options.ignore_orientation:
        how["orientation"] = "ignore"
    into_folder = (stored_output is None and output.is_dir()) or options.output.endswith(("/", os.sep))
    if several and (pattern is None or pattern.has_name or into_folder or not output.suffix):
        if not into_folder and can_be_written(output):
            if stored_input is not None and not stored_input.listed():
                raise UserError(f"{options.input} does not exist: give the URL of an image, or of a folder of images")
            what = f"{options.input} may be any number of images, and {options.output} is one file"
            raise UserError(f"{what}: name a folder, such as {output.stem}/")
        try:
            ways = {"format": options.format, "skip_existing": options.skip_existing, "batch": options.batch}
            if stored_input is not None or stored_output is not None:
                from ...scale.carrier import translate_folder

                written = translate_folder(translator, options.input, options.output, cluster=cluster, quiet=options.quiet, **ways, **how)
                words = written.words(options.output)
            elif cluster is not None:
                from ...scale.translation import translate_folder as translate_on_cluster

                words = translate_on_cluster(translator, options.input, output, cluster=cluster, quiet=options.quiet, **ways, **how).words(
                    output
                )
            else:
                words = translator.translate_folder(options.input, output, quiet=options.quiet, **ways, **how).words(output)
        except (KeyboardInterrupt, RunFailure):  # Ctrl-C, a signal, a full disk
            if not options.quiet:
                say("note: the same command with --skip-existing goes on where this one ended")
            raise
        print_result(words)
        _go_on(options)
        return 0
    if cluster is not None:
        raise UserError(f"--executor {options.executor} is for many images, and {options.input} is one: leave it out")
    if options.skip_existing:
        raise UserError(f"--skip-existing goes on with a folder, and {options.input} is one image: leave it out")
    place = options.output
    if into_folder:
        suffix = suffix_of(source, options.format or translator.usual_format(), translator.check_output)
        place = f"{place.rstrip('/')}/{source.stem}{suffix}" if stored_output is not None else str(output / f"{source.stem}{suffix}")
    elif not output.suffix:
        usual = translator.usual_format(quiet=True)
        raise UserError(
            f"{place} has no suffix, which names the format of an image: write {place}.{options.format or usual} for a file, or "
            f"{place}/ for a folder"
        )
    elif options.format and options.format != "same" and output.suffix.lower() != f".{options.format}":
        raise UserError(f"--format {options.format} and the output {place} disagree: leave out one (formats: {', '.join(FORMATS)})")
    if stored_input is not None or stored_output is not None:
        from ...scale.carrier import translate_file

        translate_file(translator, options.input, place, **how)
    else:
        place = str(Path(place))
        translator.translate_file(options.input, place, **how)
    print_result(place)
    _go_on(options)
    return 0


def _go_on(options: argparse.Namespace) -> None:
    """A run that nobody has measured: that is what comes next."""
    run = Path(options.model)
    next_one = () if (run / "evaluation" / "evaluation.json").is_file() else ("transfigure evaluate {run}{plugins}",)
    for line in after(run, *next_one, quiet=options.quiet):
        if not options.quiet:
            say(line)

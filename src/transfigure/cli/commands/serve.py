"""Serve models over HTTP: an image in, ``translate``'s picture out.

``POST /v1/translate`` takes an image and answers with the file that ``translate`` would write, byte for byte; ``/docs`` describes all of
it, ``/`` is the page to draw on. Requests beyond the limits are refused; at SIGTERM or Ctrl-C what was accepted is answered first.
"""

from __future__ import annotations

import argparse
from typing import Any

from ...errors import Missing
from ...progress import print_result
from ..options import add_model, add_plugins, add_quiet

GROUP = "train and translate"
EPILOG = """\
examples:

  transfigure serve runs/facades
  transfigure serve day=runs/facades night=runs/night.onnx --port 8080
  TRANSFIGURE_TOKEN=... transfigure serve runs/facades --host 0.0.0.0 --engine auto
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Models, an address, limits."""
    add_model(parser, several=True)
    add_served(parser)
    parser.add_argument("--port", type=int, default=8000, help="to listen on; 0: any that is free (default: %(default)s)")


def add_served(parser: argparse.ArgumentParser) -> None:
    """What ``draw`` has, too."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="to listen on; another lets other machines in, and needs TRANSFIGURE_TOKEN (default: %(default)s)",
    )
    parser.add_argument("--palette", metavar="NAME|FILE", help="classes to draw with, as for evaluate (default: found out)")
    parser.add_argument("--megabytes", type=float, default=32.0, help="of a request, at the most (default: %(default)s)")
    parser.add_argument("--megapixels", type=float, default=16.0, help="of an image, at the most (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for an answer, at the most (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=64, help="being worked on, at the most (default: %(default)s)")
    add_plugins(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Serve until a signal comes."""
    server = make_server(options, options.model)
    server.run(lambda: print_result(f"serving: {', '.join(server.service.models)} at {server.address}  (/docs describes it)"))
    return 0


def make_server(options: argparse.Namespace, places: list[str]) -> Any:
    """A server of these models.

    Raises:
        UserError: a model cannot be opened, or the address cannot be used.
        Missing: the extra is not installed.
    """
    from ...networks.model_file import ModelConfig
    from ..options import open_model

    try:
        from ...serving.limits import Limits
        from ...serving.models import ServedModel, name_models
        from ...serving.palette import palette_for
        from ...serving.server import Server
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("transfigure", "torch"):
            raise
        raise Missing.extra(error.name or "fastapi", "serve", "serving") from error
    limits = Limits(options.megabytes, options.megapixels, options.seconds, options.requests)
    named = name_models(places)
    translators = {name: open_model(options, place) for name, place in named.items()}
    models = {}
    for name, translator in translators.items():
        config: ModelConfig = translator.config
        translator.quiet = True
        models[name] = ServedModel(name, translator, palette_for(config, options.palette))
    server = Server(models, options.host, options.port, limits, quiet=options.quiet)
    for model in models.values():
        model.warm_up()
    return server

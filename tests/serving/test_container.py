"""The files beside the page on serving say what the program understands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from transfigure.cli.commands import load
from transfigure.cli.parser import command_parser
from transfigure.serving.server import TOKEN

PLACE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "serve"


def test_the_container_starts_a_command_that_there_is() -> None:
    text = (PLACE / "Dockerfile").read_text(encoding="utf-8")
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    assert entry
    program, *words = json.loads(entry[1])
    options = command_parser(load(words[0])).read(words[1:])
    assert program == "transfigure" and (options.model, options.host, options.port) == (["model"], "0.0.0.0", 8000)
    assert "USER server" in text and "/healthz" in text and "EXPOSE 8000" in text


def test_the_composition_gives_a_token_and_the_time_to_answer() -> None:
    service = yaml.safe_load((PLACE / "compose.yaml").read_text(encoding="utf-8"))["services"]["transfigure"]
    assert list(service["environment"]) == [TOKEN]
    seconds = command_parser(load("serve")).read(["model"]).seconds
    assert int(service["stop_grace_period"].removesuffix("s")) > seconds + 5

"""Serving: images a second, waiting times and memory under load, beside a server that holds a lock around the same torch model.

    python benchmarks/serving.py [--model RUN] [--int8 FILE.xml] [--requests 2000] [--clients 8] [--rounds 3] [--alone]

Each server is a process of its own on loopback; the clients are threads of one more process, each with a connection that it keeps, each
with its next image when it has an answer. The other server is what one writes in a quarter of an hour: FastAPI, Pillow, and a lock around
``generator(image)`` in float32, with batch statistics and dropout as in the paper. Servers take turns in each round; ratios are of one
round. Every answer of ours is compared, byte for byte, with the file that ``translate`` writes with the same engine.

Without ``--model`` it is the U-Net of pix2pix with random weights. 8 bits need a network that was trained, exported by
``transfigure export RUN --out FILE.xml --format openvino --precision int8 --calibration DIR``.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, File, Response, UploadFile
from measured import Row, add_json, number, ratios, write_if_asked
from PIL import Image

from transfigure.networks.build import build_generator
from transfigure.networks.model_file import Domain, ModelConfig
from transfigure.translation.translator import Translator
from transfigure.worlds.facades.dataset import Rendering

TOY = ["--requests", "12", "--rounds", "1", "--size", "32", "--width", "4", "--depth", "4", "--clients", "3", "--engines", "torch"]
"""Arguments of a run that takes seconds."""
LOCKED = "a lock around torch"
IMAGES = 16


@dataclass
class Load:
    """What became of a round.

    Attributes:
        seconds: of all of it.
        waited: seconds of each request.
        lost: requests without an answer of 200.
        different: answers that are not the expected bytes.
        memory: of the server in MB, after a quarter of the requests and at the end.
    """

    seconds: float
    waited: list[float]
    lost: int
    different: int
    memory: tuple[float, float]


def locked_server(model: str) -> None:
    """The other server; prints its port."""
    app, lock = FastAPI(), threading.Lock()
    generator = Translator.load(model, quiet=True).generator.train()

    @app.post("/v1/translate")
    def translate(image: UploadFile = File()) -> Response:  # noqa: B008 - as FastAPI wants it
        pixels = np.asarray(Image.open(image.file).convert("RGB"), np.float32)
        tensor = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]
        with lock, torch.inference_mode():
            output = generator(tensor)[0]
        picture = ((output + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG")
        return Response(stream.getvalue(), media_type="image/png")

    config = uvicorn.Config(app, port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    thread.join()


class Process:
    """A server in a process of its own.

    Args:
        command: that starts it, and prints its port or address.
    """

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"(\d+)/?\D*$", line.split("  (")[0])
        if found is None:
            raise SystemExit(f"{' '.join(command)} did not start")
        self.port = int(found[1])

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def memory(self) -> float:
        """In MB; 0 where the system does not say."""
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.is_file() else None
        return int(found[1]) / 1e3 if found else 0.0


def clients(port: int, folder: str, requests: int, count: int, form: bool) -> None:
    """Send the folder's images again and again; prints what came of it as JSON, and a line when a quarter is done."""
    files = sorted(Path(folder, "images").glob("*.png"))
    sent = [body(file.read_bytes(), form) for file in files]
    wanted = [Path(folder, "expected", file.name) for file in files]
    expected = [file.read_bytes() if file.is_file() else None for file in wanted]
    lock, numbers, waited, lost, different = threading.Lock(), iter(range(requests)), list[float](), list[str](), list[int]()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while True:
            with lock:
                number = next(numbers, None)
                if number == requests // 4:
                    print("quarter", flush=True)
            if number is None:
                return
            data, headers = sent[number % len(sent)]
            started = time.perf_counter()
            try:
                connection.request("POST", "/v1/translate", data, headers)
                answer = connection.getresponse()
                content = answer.read()
            except OSError as error:
                lost.append(str(error))
                connection.close()
                continue
            waited.append(time.perf_counter() - started)
            if answer.status != 200:
                lost.append(f"{answer.status} {content[:200]!r}")
            elif (right := expected[number % len(sent)]) is not None and content != right:
                different.append(number)

    started = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"seconds": time.perf_counter() - started, "waited": waited, "lost": lost, "different": len(different)}), flush=True)


def body(data: bytes, form: bool) -> tuple[bytes, dict[str, str]]:
    """A request's body and headers."""
    if not form:
        return data, {"Content-Type": "image/png"}
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="image.png"\r\nContent-Type: image/png\r\n\r\n'
    return head + data + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


def under_load(command: list[str], folder: Path, options: argparse.Namespace) -> Load:
    """Start a server, warm it up, and send it everything."""
    form = "--locked" in command
    with Process(command) as server:
        client = [sys.executable, __file__, "--clients-of", str(server.port), str(folder), "--clients", str(options.clients)]
        client += ["--form"] * form + ["--requests"]
        subprocess.run([*client, str(2 * options.clients)], check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen([*client, str(options.requests)], stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            running.stdout.readline()
            early = server.memory()
            found = json.loads(running.stdout.readline())
        if found["lost"]:
            print(f"lost: {found['lost'][0]}", file=sys.stderr)
        return Load(found["seconds"], found["waited"], len(found["lost"]), found["different"], (early, server.memory()))


def prepare(options: argparse.Namespace, folder: Path) -> str:
    """Images to send, and a model if there is none."""
    images = folder / "images"
    images.mkdir()
    for index in range(IMAGES):
        Image.fromarray(Rendering(0, index, "labels", options.size).read()).save(images / f"{index:02}.png")
    if options.model:
        return str(options.model)
    torch.manual_seed(0)
    how = {"width": options.width, "depth": options.depth}
    generator = build_generator("unet", 3, 3, how)
    config = ModelConfig("unet", how, Domain(3), Domain(3), generator.size_multiple, options.size)
    Translator(generator, config, config.inference).save(folder / "model")
    return str(folder / "model")


def expect(folder: Path, model: str, engine: str) -> None:
    """What ``translate`` writes."""
    Translator.load(model, engine=engine, quiet=True).translate_folder(folder / "images", folder / "expected", quiet=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a run, a model directory, or another model")
    parser.add_argument("--int8", help="a file exported in 8-bit integers")
    parser.add_argument("--engines", nargs="+", default=["torch", "onnxruntime", "openvino"])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without the other server")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--locked", metavar="MODEL", help=argparse.SUPPRESS)
    parser.add_argument("--clients-of", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--form", action="store_true", help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.locked:
        locked_server(options.locked)
    elif options.clients_of:
        clients(int(options.clients_of[0]), options.clients_of[1], options.requests, options.clients, options.form)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(options, Path(folder))


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Print the table."""
    model = prepare(options, folder)
    serve = [sys.executable, "-m", "transfigure", "serve", "--port", "0", "--quiet"]
    ours: dict[str, tuple[list[str], str, str]] = {
        engine: ([*serve, model, "--engine", engine], model, engine) for engine in options.engines
    }
    if options.int8:
        ours["8 bits, openvino"] = ([*serve, options.int8, "--engine", "openvino"], options.int8, "openvino")
    loads: dict[str, list[Load]] = {name: [] for name in ([] if options.alone else [LOCKED]) + list(ours)}
    for number_of in range(options.rounds):
        for name, measured in loads.items():
            if name == LOCKED:
                shutil.rmtree(folder / "expected", ignore_errors=True)
                command = [sys.executable, __file__, "--locked", model]
            else:
                command, place, engine = ours[name]
                expect(folder, place, engine)
            measured.append(last := under_load(command, folder, options))
            speed = options.requests / last.seconds
            print(f"round {number_of + 1}: {name}: {speed:.1f} images/s", file=sys.stderr, flush=True)
    print("| server | images/s | p50, ms | p99, ms | times the first | lost | not as translate | MB, early and at the end |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    rows: list[Row] = []
    base = [options.requests / load.seconds for load in next(iter(loads.values()))]
    for name, rounds in loads.items():
        rate = Row(name, "images/s", [options.requests / load.seconds for load in rounds])
        middle, worst = (
            Row(f"{name}: p{share}", "ms", [1e3 * float(np.percentile(load.waited, share)) for load in rounds]) for share in (50, 99)
        )
        times = Row(f"{name}: against {next(iter(loads))}", "x", ratios(rate.values, base))
        early, late = (max(load.memory[at] for load in rounds) for at in (0, 1))
        lost, different = sum(load.lost for load in rounds), sum(load.different for load in rounds)
        cells = [f"{number(row.median)} {row.spread()}" for row in (rate, middle, worst, times)]
        print(f"| {name} | {' | '.join(cells)} | {lost} | {'-' if name == LOCKED else different} | {early:.0f}, {late:.0f} |")
        rows += [rate, middle, worst, times]
    write_if_asked(options, "serving", rows)
    if any(load.lost or load.different for name, rounds in loads.items() if name != LOCKED for load in rounds):
        raise SystemExit("an answer was lost, or is not what translate writes")


if __name__ == "__main__":
    main()

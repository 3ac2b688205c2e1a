"""What a folder of many images takes on many workers: costs measured here, a simulation made of them, and how far it is from real runs.

    python benchmarks/scaling.py [--parts stages scheduler check table] [--sizes 64 256 1024] [--formats png jpg tif npy]
        [--engines torch onnxruntime openvino] [--width 32] [--bandwidth 1.25e9] [--per-machine 16]

``stages``: seconds of the processor that reading, translating and writing one image takes, with one thread of torch, of images drawn in
every size and format and written in the same format; alone, and while as many such processes as there are cores do the same.
``scheduler``: what Ray adds: until its first output, for every image, and at its end, with 1 and 2 workers that do nothing; and to a
network of two convolutions, on images whose files are of 1 KB to 10 MB. ``check``: whole runs of 1 and 2 workers, beside what the
simulation says of them. ``table``: the simulation of 10^4 to 10^9 images on 1 to 1,000 workers, which no run has checked.

The simulation hands batches to whichever worker is free first. A worker takes its images through three stages at once, as the translator
does; cores are shared by the workers of a machine, the way to the storage by all. Whoever dispatches does so one batch after the other.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from measured import Row, add_json, machine, number, versions, write_if_asked

from transfigure.scale.cluster import parts

# fmt: off
TOY = [
    "--sizes", "32", "--formats", "png", "--engines", "torch", "--width", "2", "--depth", "2", "--seconds", "0.1",
    "--parts", "check", "table", "--nothing", "200", "--count", "4", "--workers", "1",
]
# fmt: on
"""Arguments of a run that takes seconds."""
COUNTS, WORKERS = (10**4, 10**5, 10**6, 10**7, 10**8, 10**9), (1, 2, 10, 100, 1000)
STAGES = ("read", "translate", "write")
TURNS = 400
"""Batches that each worker is simulated with, at least; larger folders are cut into larger ones, whose cost is the same for each image."""


# ---- the model ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageCost:
    """What one image takes on a core, and how large its files are.

    Attributes:
        read, translate, write: seconds of the processor.
        bytes_in, bytes_out: of its file and of the one that is written.
        memory: MiB that a worker holds at most.
    """

    read: float
    translate: float
    write: float
    bytes_in: float
    bytes_out: float
    memory: float = 0.0

    @property
    def seconds(self) -> float:
        """Of one core, for all stages."""
        return self.read + self.translate + self.write


@dataclass(frozen=True)
class SchedulerCost:
    """What handing out the work takes.

    Attributes:
        plan: seconds for every image before the first is handed out: the folder is listed, and the outputs are named.
        start: seconds until the first worker has the model.
        hand: seconds for every batch, one after the other, of the process that hands them out.
        gap: seconds between a worker's batches.
        shared: seconds of all processors for every batch, where the workers' machine is also the driver's.
        end: seconds after the last output.
        memory: bytes that the driver holds for every image.
    """

    plan: float
    start: float
    hand: float
    gap: float
    shared: float
    end: float
    memory: float = 0.0


@dataclass(frozen=True)
class Place:
    """Where the workers are.

    Attributes:
        cores: of each machine.
        workers: of each machine, at most.
        bandwidth: bytes a second from and to the storage, of all machines together.
        has_driver: the driver runs on the (one) machine, too.
    """

    cores: int
    workers: int
    bandwidth: float
    has_driver: bool = False


@dataclass(frozen=True)
class Simulated:
    """What a run would take.

    Attributes:
        seconds: from the command to its end.
        bound: what more workers would not make shorter, or ``workers`` if they would.
    """

    seconds: float
    bound: str


def simulate(images: int, workers: int, cost: ImageCost, scheduler: SchedulerCost, place: Place) -> Simulated:
    """Hand out batches until all images are done.

    Args:
        images: how many.
        workers: how many take them.
        cost: of an image while the cores of a machine are as busy as they will be.
        scheduler: what handing out takes.
        place: where.
    """
    real = len(parts(images if images < 10**6 else 10**6, workers)[0])
    # of a very large folder many batches are simulated as one, which takes as long as they do
    batches = parts(images, workers, max(real, images // (workers * TURNS)) if images > workers * TURNS * real else None)
    together = min(workers, place.workers)
    transfer = (cost.bytes_in + cost.bytes_out) * workers / place.bandwidth
    begin = scheduler.start + images * scheduler.plan
    free, driver, last, spent = [begin] * workers, begin, begin, 0.0
    for batch in batches:
        ready, count, times = heapq.heappop(free), len(batch), max(1, round(len(batch) / real))
        driver = max(driver, ready - scheduler.hand * times) + scheduler.hand * times  # the next batch waits at the worker already
        # the three stages run at the same time, the network in one thread and the others beside it, on the cores that there are
        edge = cost.read + cost.write if together < place.cores else 0.0  # before the first of a batch, and after its last
        alone = count * cost.translate + times * (scheduler.gap + edge)
        shared = count * cost.seconds + (times * scheduler.shared if place.has_driver else 0.0)
        end = max(ready, driver) + max(alone, shared * together / place.cores, count * transfer)
        last, spent = max(last, end), spent + max(alone, shared * together / place.cores)
        heapq.heappush(free, end)
    bounds = {
        "workers": spent / workers,
        "driver": images * scheduler.plan + math.ceil(images / real) * scheduler.hand,
        "storage": images * transfer / workers,
        "start": scheduler.start + scheduler.end,
    }
    return Simulated(last + scheduler.end, max(bounds, key=lambda name: bounds[name]))


# ---- measuring ---------------------------------------------------------------------------------------------------------------


def write_images(folder: Path, count: int, size: int, format: str) -> None:
    """Drawn streets: as much detail as a photo of a street has, so that files are about as large."""
    from transfigure.data import images
    from transfigure.worlds.facades.dataset import draw_scene, render

    folder.mkdir(parents=True, exist_ok=True)
    for at in range(count):
        images.write(folder / f"{at:06}.{format}", render(draw_scene(0, at % 16), "day", size))


def write_model(folder: Path, width: int, depth: int) -> None:
    """A U-Net as it is before any training; what it makes looks like nothing, and takes as long."""
    import torch

    from transfigure.networks.build import build_generator
    from transfigure.networks.model_file import Domain, Inference, ModelConfig, save_model

    torch.manual_seed(0)
    settings = {"width": width, "depth": depth, "dropout": 0.0}
    generator = build_generator("unet", 3, 3, settings)
    sides = Domain(3), Domain(3)
    config = ModelConfig("unet", settings, *sides, size_multiple=generator.size_multiple, inference=Inference("batch", "none", 0))
    save_model(folder, generator.state_dict(), config)


def stages(model: str, engine: str, folder: str, output: str, format: str, seconds: float) -> dict[str, float]:
    """Translate the images of a folder for at least so long, in this process; processor seconds of each stage for an image."""
    import torch

    from transfigure.translation.translator import Translator

    torch.set_num_threads(1)
    spent: dict[str, list[float]] = {name: [] for name in STAGES}

    def timed(name: str, act: Any) -> Any:
        def passing(*given: Any, **more: Any) -> Any:
            start = time.thread_time()
            try:
                return act(*given, **more)
            finally:
                spent[name].append(time.thread_time() - start)

        return passing

    for name, method in (("read", "_read"), ("write", "_write")):
        setattr(Translator, method, timed(name, getattr(Translator, method)))
    translator = Translator.load(model, device="cpu", engine=engine, quiet=True)
    translator.translate_folder(folder, output, format=format, quiet=True, overwrite=True)  # what happens once is not counted
    for some in spent.values():
        some.clear()
    start, before, images = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds or images == 0:
        images += len(translator.translate_folder(folder, output, format=format, quiet=True, overwrite=True))
    wall, processor = (time.perf_counter() - start) / images, (time.process_time() - before) / images
    read, write = (sum(spent[name]) / images for name in ("read", "write"))
    sizes = {
        side: statistics.mean(file.stat().st_size for file in Path(place).iterdir()) for side, place in (("in", folder), ("out", output))
    }
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # the rest is the network's: engines compute in threads of their own
    return {
        "read": read,
        "translate": processor - read - write,
        "write": write,
        "bytes_in": sizes["in"],
        "bytes_out": sizes["out"],
        "memory": memory,
        "wall": wall,
    }


class _Waiting:
    """A worker that only waits."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, items: Sequence[int]) -> list[int]:
        time.sleep(self._seconds)
        return list(items)


def scheduler(batches: int, workers: int) -> dict[str, float]:
    """Hand out batches that take no time, and some that take a while, in this process."""
    from transfigure.scale.cluster import Cluster, ClusterOptions, connected

    own, begin = psutil.Process(), time.perf_counter()

    def processor() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True)))

    def run(cluster: Cluster, count: int, seconds: float) -> tuple[float, float, int]:
        first = spent = 0.0
        for _ in cluster.map(partial(_Waiting, seconds), range(count * 4), batch=4):
            first, spent = first or time.perf_counter(), spent or processor()
        return time.perf_counter() - first, processor() - spent, own.memory_info().rss

    with connected(ClusterOptions(workers=workers), quiet=True) as cluster:
        ready = time.perf_counter()
        few, wait = 8 * workers, 0.1
        run(cluster, few, 0.0)  # what happens once is not counted
        start = time.perf_counter() - ready
        short, long = (run(cluster, count, 0.0) for count in (few, few + batches))
        turns = max(1, batches // 10 // workers)
        brief, full = (run(cluster, count, wait) for count in (few, few + turns * workers))
        end = time.perf_counter()
    return {
        "start": ready - begin + start,
        "hand": max(0.0, long[0] - short[0]) / batches,
        "gap": max(0.0, (full[0] - brief[0]) / turns - wait),
        "shared": max(0.0, long[1] - short[1]) / batches,
        "end": time.perf_counter() - end,
        "memory": max(0, long[2] - short[2]) / batches,
    }


def planning(model: str, count: int) -> dict[str, float]:
    """List a folder of so many images and name their outputs, in this process."""
    from transfigure.translation.translator import Translator

    translator = Translator.load(model, device="cpu", quiet=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "in"
        for part in range(0, count, 1000):
            (folder / f"{part:09}").mkdir(parents=True)
            for at in range(part, min(part + 1000, count)):
                (folder / f"{part:09}" / f"{at:09}.png").touch()
        before, start = psutil.Process().memory_info().rss, time.perf_counter()
        work = translator.plan_folder(folder, Path(place) / "out", format="png")
        seconds, memory = time.perf_counter() - start, psutil.Process().memory_info().rss - before
        assert len(work.files) == count
    return {"plan": seconds / count, "memory": max(0, memory) / count}


def whole(model: str, folder: str, output: str, format: str, workers: int) -> dict[str, float]:
    """A whole run in this process, from the command to its end: by one process (0 workers), or by so many workers."""
    import torch

    from transfigure.translation.translator import Translator

    torch.set_num_threads(1)
    start = time.perf_counter()
    translator = Translator.load(model, device="cpu", quiet=True)
    if workers:
        from transfigure.scale.cluster import ClusterOptions
        from transfigure.scale.translation import translate_folder

        translate_folder(translator, folder, output, cluster=ClusterOptions(workers=workers), format=format, quiet=True)
    else:
        translator.translate_folder(folder, output, format=format, quiet=True)
    return {"seconds": time.perf_counter() - start}


def child(*job: Any, core: int | None = None) -> subprocess.Popen[str]:
    """One of these in a process of its own, perhaps on one core."""
    words = [sys.executable, __file__, "--child", json.dumps([core, *job])]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    """What a child found."""
    printed, _ = process.communicate()
    if process.returncode:
        raise SystemExit("a measuring process failed")
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found


def run_child(job: str) -> None:
    """What a child does."""
    core, name, *arguments = json.loads(job)
    if core is not None:
        os.sched_setaffinity(0, {core})
    jobs: dict[str, Callable[..., dict[str, float]]] = {"stages": stages, "planning": planning, "scheduler": scheduler, "whole": whole}
    print(json.dumps(jobs[name](*arguments)))


def cores() -> list[int]:
    """Those that are there for us."""
    return sorted(os.sched_getaffinity(0))


# ---- the parts ---------------------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """What all parts share: the folder with images and models, the arguments, and the rows so far."""

    folder: Path
    options: argparse.Namespace
    rows: list[Row]
    _schedulers: dict[int, SchedulerCost] = field(default_factory=dict)

    def images(self, size: int, format: str, count: int) -> Path:
        """A folder of so many images."""
        folder = self.folder / f"{size}_{format}_{count}"
        if not folder.is_dir():
            write_images(folder, count, size, format)
        return folder

    def model(self, width: int, depth: int) -> Path:
        """A model directory."""
        folder = self.folder / f"model_{width}_{depth}"
        if not folder.is_dir():
            write_model(folder, width, depth)
        return folder

    def output(self) -> str:
        """A folder that is not there yet."""
        return tempfile.mkdtemp(dir=self.folder)

    def note(self, name: str, **values: float) -> None:
        """Keep what was measured."""
        units = {"memory": "MiB", "bytes_in": "bytes", "bytes_out": "bytes"}
        self.rows += [Row(f"{name}, {key}", units.get(key, "s"), [value]) for key, value in values.items()]

    def more(self, model: Path, size: int, format: str, few: int, workers: int) -> float:
        """Seconds for each further image of a run, in this process (0 workers) or by workers: four times as many images beside a few."""
        seconds = [
            result(child("whole", str(model), str(self.images(size, format, count)), self.output(), format, workers))["seconds"]
            for count in (few, 4 * few)
        ]
        return (seconds[1] - seconds[0]) / (3 * few)

    def scheduler(self, workers: int) -> SchedulerCost:
        """Measured once."""
        if workers not in self._schedulers:
            model, count = str(self.model(1, 2)), self.options.nothing
            plan, found = result(child("planning", model, count)), result(child("scheduler", count // 32, workers))
            found["memory"] = found["memory"] / 32 + plan.pop("memory")
            cost = self._schedulers[workers] = SchedulerCost(**plan, **found)
            self.note(f"nothing, {workers} workers", **{**asdict(cost), "memory": cost.memory / 2**20})
        return self._schedulers[workers]

    def stages(self, size: int, format: str, engine: str, together: int) -> ImageCost:
        """Measured while so many processes do the same, each on a core of its own."""
        source, model = self.images(size, format, 16 if size < 1000 else 4), self.model(self.options.width, self.options.depth)
        jobs = [
            child("stages", str(model), engine, str(source), self.output(), format, self.options.seconds, core=core)
            for core in cores()[:together]
        ]
        found = [result(job) for job in jobs]
        mean = {key: statistics.mean(one[key] for one in found) for key in found[0]}
        self.note(f"{size}, {format}, {engine}, {together} at a time", **mean)
        mean.pop("wall")
        return ImageCost(**mean)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print Markdown."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    for line in (head, rule, *lines):
        print("|", " | ".join(line), "|")
    print(flush=True)


def milliseconds(seconds: float) -> str:
    """Three digits."""
    return number(seconds * 1e3)


def print_stages(bench: Bench) -> None:
    """The table of what one image takes."""
    options, lines = bench.options, []
    plain, first = options.formats[0], options.engines[0]
    wanted = [
        *((size, kind, first) for size in options.sizes for kind in options.formats),
        *((size, plain, engine) for size in options.sizes for engine in options.engines[1:]),
    ]
    for size, kind, engine in wanted:
        alone, busy = bench.stages(size, kind, engine, 1), bench.stages(size, kind, engine, len(cores()))
        lines.append(
            [
                f"{size} x {size}, {kind}, {engine}",
                *(milliseconds(getattr(alone, name)) for name in STAGES),
                milliseconds(alone.seconds),
                milliseconds(busy.seconds),
                number(alone.bytes_in / 1e3),
                number(alone.bytes_out / 1e3),
                number(alone.memory),
            ]
        )
    head = ["image, file, engine", *STAGES, "together, ms", "all cores busy, ms", "read, KB", "written, KB", "process, MiB"]
    table(head, lines)


def print_scheduler(bench: Bench) -> None:
    """What Ray adds, to nothing and to small and large files."""
    lines = []
    for workers in bench.options.workers:
        cost = bench.scheduler(workers)
        times = [milliseconds(value) for value in (cost.plan, cost.hand, cost.gap, cost.shared)]
        lines.append([f"{workers}", number(cost.start), *times, number(cost.end), number(cost.memory)])
    head = [
        "an image planned, ms",
        "a batch handed out, ms",
        "between batches, ms",
        "processors for a batch, ms",
        "end, s",
        "memory, bytes",
    ]
    table(["workers", "start, s", *head], lines)
    model, lines = bench.model(1, 2), []
    for kilobytes in bench.options.kilobytes:
        size = max(8, round((kilobytes * 1000 / 3) ** 0.5))
        few = max(8, min(bench.options.nothing // 32, 80_000 // kilobytes))
        each = [bench.more(model, size, "npy", few, workers) for workers in (0, *bench.options.workers)]
        bench.note(f"{kilobytes} KB", **{f"{count} workers": value for count, value in zip((0, *bench.options.workers), each)})
        added = [
            f"{milliseconds(value)} ({number((value - each[0] / count) * 1e3)})" for count, value in zip(bench.options.workers, each[1:])
        ]
        lines.append([f"{kilobytes:,} KB", milliseconds(each[0]), *added])
    table(["a file of", "one process, ms", *(f"{count} Ray workers, ms (added)" for count in bench.options.workers)], lines)


def print_check(bench: Bench) -> None:
    """Real runs beside simulated ones."""
    options, lines = bench.options, []
    have, plain = len(cores()), options.formats[0]
    model = bench.model(options.width, options.depth)
    for size in options.sizes:
        for workers in options.workers:
            cost = bench.stages(size, plain, options.engines[0], min(workers, have))
            count = options.count or max(8, round(10 * options.seconds / cost.seconds))
            source = bench.images(size, plain, count)
            few = bench.images(size, plain, workers)
            start = result(child("whole", str(model), str(few), bench.output(), plain, workers))["seconds"] - cost.seconds
            scheduler = replace(bench.scheduler(workers), start=start, end=0.0)
            said = simulate(count, workers, cost, scheduler, Place(have, have, float("inf"), has_driver=True)).seconds
            seen = result(child("whole", str(model), str(source), bench.output(), plain, workers))["seconds"]
            bench.note(f"{size}, {plain}, {workers} workers, {count} images", simulated=said, real=seen)
            off = f"{(said / seen - 1) * 100:+.0f} %"
            lines.append([f"{size} x {size}, {plain}", f"{workers}", f"{count:,}", number(seen), number(said), off])
    table(["image, file", "workers", "images", "real, s", "simulated, s", "off by"], lines)


def print_table(bench: Bench) -> None:
    """What no run has checked."""
    options = bench.options
    have, plain = len(cores()), options.formats[0]
    size = options.sizes[min(1, len(options.sizes) - 1)]
    cost = bench.stages(size, plain, options.engines[0], have)
    scheduler = bench.scheduler(max(options.workers))
    place = Place(options.per_machine, options.per_machine, options.bandwidth)
    print(
        f"images of {size} x {size}, {plain}, {options.engines[0]}: {milliseconds(cost.seconds)} ms of a core, "
        f"{cost.bytes_in / 1e3:,.0f} KB read and {cost.bytes_out / 1e3:,.0f} KB written; storage of {options.bandwidth / 1e9:g} GB/s; "
        f"{options.per_machine} workers on a machine of as many cores\n"
    )
    lines = []
    for images in COUNTS:
        cells = []
        for workers in WORKERS:
            found = simulate(images, workers, cost, scheduler, place)
            cells.append(f"{duration(found.seconds)}{'' if found.bound == 'workers' else f' ({found.bound})'}")
        traffic, driver = images * (cost.bytes_in + cost.bytes_out), images * scheduler.memory
        lines.append([f"{images:.0e}".replace("e+0", "e"), *cells, amount(traffic), amount(driver)])
    table(["images", *(f"{count:,} workers" for count in WORKERS), "over the network", "in the driver"], lines)


def duration(seconds: float) -> str:
    """In the largest unit of which there is more than one."""
    for unit, length in (("years", 365.25 * 86400), ("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{number(seconds / length)} {unit}"
    return f"{number(seconds)} s"


def amount(count: float) -> str:
    """Of bytes."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{number(count)} {unit}"
        count /= 1000
    return f"{number(count)} PB"


PARTS = {"stages": print_stages, "scheduler": print_scheduler, "check": print_check, "table": print_table}


def main() -> None:
    """Print the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024], metavar="PIXELS")
    parser.add_argument("--formats", nargs="+", default=["png", "jpg", "tif", "npy"], metavar="SUFFIX")
    parser.add_argument("--engines", nargs="+", default=["torch", "onnxruntime", "openvino"], metavar="NAME")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--width", type=int, default=32, help="of the U-Net")
    parser.add_argument("--depth", type=int, default=6, help="of the U-Net")
    parser.add_argument("--seconds", type=float, default=4.0, help="that each cost is measured for, at least")
    parser.add_argument("--count", type=int, help="images of each run of the check (default: for about ten times as long)")
    parser.add_argument("--kilobytes", type=int, nargs="+", default=[1, 10, 100, 1000, 10000])
    parser.add_argument("--nothing", type=int, default=20000, help="images that take no time")
    parser.add_argument("--bandwidth", type=float, default=1.25e9, help="bytes a second of the storage, for the table")
    parser.add_argument("--per-machine", type=int, default=16, help="workers and cores of a machine, for the table")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.child:
        run_child(options.child)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options, [])
        for part in options.parts:
            PARTS[part](bench)
    print("; ".join(f"{key} {value}" for key, value in {**machine(), **versions()}.items()))
    write_if_asked(options, "scaling", bench.rows)


if __name__ == "__main__":
    main()

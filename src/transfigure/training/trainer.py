"""The trainer: epochs of steps, and everything that is measured, logged and saved on the way.

What happens here is order and bookkeeping; the mathematics of one step is in ``steps/``. The state is a handful of tensors and the
position (epoch, batch, images); everything else, such as the order of the pairs, every crop and every learning rate, is a function of
the recipe and the position. That is why a run that was killed and resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.channels import brief_names
from ..data.check.left_out import LeftOut, load_left_out, save_left_out
from ..data.check.processes import cores
from ..data.dataset import PairSampler
from ..data.masks import in_model
from ..data.open import OpenedData, augmentation_of, open_data, refuse_inside, resolve_data
from ..data.pairs import region_of
from ..data.splits import StoredSplit
from ..errors import Interrupted, RunFailure, UserError
from ..networks.build import outline_of
from ..networks.model_file import Domain, Inference, ModelConfig, save_model
from ..processes import StopRequest
from ..progress import Progress, duration, say
from ..recipe import Recipe, Training
from ..registry import plugin_flags
from ..stored import brief
from ..wording import counted
from .allocator import keep_freed_memory
from .checkpoint import (
    check_network,
    check_optimizer,
    check_pool,
    check_scaler,
    damaged,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
    seed_everything,
)
from .data_check import DataCheck
from .ema import EMA
from .engine import Engine
from .feed import feed
from .health import Health, broken, signs, weight_size
from .log import RunLog
from .pool import ImagePool
from .preview import Previews
from .replay import Updates, graphs_for, obstacle
from .run_directory import LENGTH, RunDirectory, free_place, other_machine, write_environment
from .schedules import SPREAD, Moment, Plateau, factor
from .setup import Setup
from .start import Start, Started, open_start, resolve_start, starting_from
from .steps.base import StepOutput
from .steps.build import build_step
from .trackers import check_trackers
from .validation import Validation

CHECKPOINT_SECONDS = 600.0
"""However long an epoch is, no more work than this is ever lost."""
CHECKPOINT_SHARE = 1 / 20
"""Of the time, that checkpoints at the ends of epochs may take, where one takes longer than a second: epochs on a GPU can be shorter."""


def train(
    recipe: Recipe | str | Path | None,
    out: str | Path | None = None,
    *,
    start_from: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a translator.

    Args:
        recipe: a recipe, or the name or file of one; with ``start_from`` it may be None, which is the recipe of that model.
        out: the run directory to write; None is ``runs/`` and the recipe's name, numbered if that is taken.
        start_from: begin with the weights of this model: a run, a model directory, a shipped model, ``hub:owner/name``, or a ``.pth``
            file of the PyTorch reference implementation. Its generator takes the place of the recipe's, and of a run the discriminator
            too; to begin with its weights as far as they fit the recipe's own networks, set the recipe's ``training.start_from`` in place
            of this.
        resume: go on with the run in ``out`` from its last checkpoint.
        quiet: no progress on stderr.

    Returns:
        The run directory, ready for ``Translator.load``.

    Raises:
        UserError: the recipe, the data or the place cannot be used; nothing has been changed then.
        RunFailure: a loss became NaN, or the disk is full; the last checkpoint is intact.
        Interrupted: Ctrl-C, SIGTERM or a lost terminal's SIGHUP; the state has been saved.
    """
    if resume and start_from is not None:
        raise UserError("start_from begins a new training, and resume goes on with one from its own checkpoint: leave out one of them")
    if start_from is not None:
        recipe = starting_from(start_from, recipe, quiet=quiet)
    elif recipe is None:
        raise UserError("no recipe is given: name one, e.g. pix2pix, or a model to start_from")
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    recipe = recipe.replaced(data=resolve_data(recipe.data), training=resolve_start(recipe.training))
    if resume and out is None:
        raise UserError("there is nothing to resume without a place: name the run directory")
    run = RunDirectory(Path(out) if out is not None else free_place(recipe.name))
    refuse_inside(recipe.data, run.path)
    saved = stored = None
    left_out: tuple[LeftOut, ...] = ()
    if resume:
        saved = load_checkpoint(run.checkpoint)
        before = _recipe_of(saved, run)
        if recipe.training.precision == "auto":  # which was decided when the run began
            recipe = recipe.replaced(training=recipe.training.replaced(precision=before.training.precision))
        recipe = recipe.with_found(before)
        run.check_same(recipe, before)
        check_length(recipe.training, before.training, Position(**saved["position"]))
        recipe = recipe.replaced(data=recipe.data.replaced(split_rule=before.data.split_rule))
        stored, left_out = StoredSplit.load(run.splits), load_left_out(run.left_out) or ()
    check_trackers(recipe.training.trackers)
    start = open_start(recipe.training.start_from) if recipe.training.start_from is not None and not resume else None
    keep_freed_memory()
    engine = Engine(recipe.training)
    quiet = quiet or not engine.leads
    with engine.as_one(lambda: _way_on(run)), contextlib.ExitStack() as held:
        if engine.leads:
            if saved is None:
                run.reserve()  # before the data is read, which can take a while
            held.enter_context(run.held())
        try:
            processes = max(1, cores() // engine.world_size)
            data = open_data(recipe.data, recipe.training.seed, quiet, stored, left_out, saved is not None, processes)
            recipe = recipe.replaced(data=data.section)  # with what was found in the data
            engine.choose_precision(data.target_dtype)
            recipe = recipe.replaced(training=recipe.training.replaced(precision=engine.precision))
            trainer = Trainer(recipe, run, engine, data, quiet=quiet, start=start)
            del start  # its weights are in the networks now
        except BaseException:  # also a signal's
            held.close()
            with contextlib.suppress(OSError):
                run.path.rmdir()  # if it is empty
            raise
        if engine.leads:
            if saved is None:
                run.start(recipe, data.drawn, data.left_out)
            else:
                run.sweep()
                if data.left_out != left_out:  # something has broken meanwhile
                    save_left_out(run.left_out, data.left_out)
        engine.barrier()
        if not quiet:
            for line in opening(trainer, resumed=resume):
                say(line)
        with StopRequest(StopRequest.WORDS if engine.world_size == 1 else "") as stop:  # of several, one says it once all know
            trainer.fit(stop, saved)
        engine.barrier()
    return run.path


def _way_on(run: RunDirectory) -> str:
    """What can be done where a process of several is gone."""
    if run.checkpoint.is_file():
        return f"the last checkpoint is whole: start it again with --out {shlex.quote(str(run.path))} --resume"
    return "there was no checkpoint yet: start it again"


def opening(trainer: Trainer, resumed: bool = False) -> list[str]:
    """What is about to happen, for a person who waits: what is learnt from what, by which networks, where, and where it will stand."""
    data, run, engine = trainer.data, trainer.run_directory.path, trainer.engine
    section, training = trainer.recipe.data, trainer.recipe.training
    pairs = counted(len(data.train), "pair" if data.has_pairs else "unpaired image")
    parts = [f"{pairs}{', without their pairing,' if data.has_pairs and data.unpaired else ''} to train on"]
    parts += [f"{len(held):,} to {verb}" for held, verb in ((data.val, "validate"), (data.test, "test")) if len(held)]
    sizes = f"{section.crop_size} x {section.crop_size} pixels"
    if section.load_size not in (None, section.crop_size):
        sizes += f", cut from {section.load_size} x {section.load_size}"
    augmented = ", ".join(augmentation_of(section).words())
    sides = ((data.source_channels, data.source.file_names), (data.target_channels, data.target.file_names))
    from_to = " -> ".join(f"{count}{f' ({brief_names(names)})' if names else ''}" for count, names in sides)
    networks = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in trainer._sizes().items() if count)
    threads = torch.get_num_threads()
    device = f"cpu, {counted(threads, 'thread')}" if engine.device.type == "cpu" else str(engine.device)
    device += {"bf16-mixed": ", bfloat16", "16-mixed": ", float16"}.get(engine.precision, "")
    if engine.world_size > 1:
        device += f", {engine.world_size} processes"
    store = data.train.cache.store
    cache = [] if store is None else [f"cache:   {store.describe()}"]
    if data.background_check is not None:
        cache.append(f"check:   {data.background_check.describe()}")
    speed = [f"speed:   {line}" for line in _about_speed(trainer, resumed)]
    together = f", {training.update_size} to an update" if training.accumulate > 1 else ""
    return [
        f"data:    {', '.join(parts)}; from {section.path or section.kind}, {section.direction}",
        f"sizes:   {sizes}; {from_to} channels, {data.source_dtype} -> {data.target_dtype}",
        *([f"augment: {augmented}"] if augmented else []),
        f"model:   {networks} parameters; on {device}",
        *([f"start:   {trainer.began_with.words}"] if trainer.began_with is not None and trainer.began_with.words else []),
        f"plan:    {_plan(training)} of {counted(len(data.train), 'image')}, {training.batch_size} at a time{together}",
        *cache,
        *speed,
        *(f"note: {note}" for note in (trainer.began_with.notes if trainer.began_with is not None else ())),
        f"report:  {run / 'report.html'} at the end, and at any time by  transfigure report {shlex.quote(str(run))}",
    ]


def _plan(training: Training) -> str:
    epochs = counted(training.epochs, "epoch")
    return epochs if training.minutes is None else f"{duration(60 * training.minutes)}, at most {epochs}"


def _about_speed(trainer: Trainer, resumed: bool) -> Iterator[str]:
    """What makes this training fast on its device, or why it is not."""
    recipe, engine = trainer.recipe, trainer.engine
    which = "CPU" if engine.device.type == "cpu" else "GPU"
    if engine.precision == "32-true" and not resumed:  # a run stays as it began
        if engine.bfloat16_fits(trainer.data.target_dtype):
            yield f"this {which} has bfloat16, which is faster: --training.precision auto  (by how much, transfigure benchmark says)"
        elif engine.float16_fits():
            yield "this GPU has float16, which is faster: --training.precision 16-mixed  (by how much, transfigure benchmark says)"
    if engine.device.type == "cuda":
        reason = "training.graphs is no" if recipe.training.graphs == "no" else obstacle(recipe, trainer.step, engine)
        yield f"updates are launched kernel by kernel: {reason}" if reason else "updates are replayed as a CUDA graph"
    if trainer.feed.words:
        yield trainer.feed.words


def _recipe_of(saved: dict[str, Any], run: RunDirectory) -> Recipe:
    """The recipe of a checkpoint, whose generator fits it; nothing is built to find out."""
    try:
        recipe = Recipe.from_dict(saved["recipe"])
        source, target = saved["data"]["channels"]
        outline = outline_of(recipe.generator.name, source, target, recipe.generator.options)
        if outline is not None and "generator" in saved["step"]:
            check_network("generator", saved["step"]["generator"], outline)
    except (UserError, ValueError) as error:
        raise damaged(run.checkpoint, str(error)) from error
    return recipe


def check_length(training: Training, before: Training, position: Position) -> None:
    """See that a run whose length is given anew has not come further than that.

    Raises:
        UserError: it has.
    """
    begun = position.epoch + (position.batch > 0)
    if training.epochs != before.epochs and training.epochs < begun:
        done = f"the run is in epoch {begun}" if position.batch else f"{counted(begun, 'epoch')} {'is' if begun == 1 else 'are'} done"
        raise UserError(f"training.epochs is {training.epochs}, and {done}: give at least {begun} as --training.epochs")
    minutes = training.minutes
    if minutes is not None and minutes != before.minutes and 60 * minutes <= position.seconds:
        done = f"{position.seconds / 60:.3g} minutes are done"
        raise UserError(f"training.minutes is {minutes:g}, and {done}: give more than that as --training.minutes")


class Expectation:
    """Says once how long a training will take, as soon as its rate is known: after the first steps, which are slow, and a while."""

    SECONDS, STEPS = 3.0, 5

    def __init__(self, quiet: bool) -> None:
        self._said, self._steps, self._images, self._start = quiet, 0, 0, 0.0

    def after(self, images: int, left: int) -> None:
        """Count a step of so many images; ``left`` are to come."""
        if self._said:
            return
        self._steps += 1
        if self._steps == 2:
            self._start = time.monotonic()
        elif self._steps > 2:
            self._images += images
            if self._steps > self.STEPS and (spent := time.monotonic() - self._start) > self.SECONDS:
                rate = self._images / spent
                say(f"time:    {rate:.3g} images a second: about {duration(left / rate)} to go, and what validating takes")
                self._said = True


@dataclass
class Position:
    """How far a training is. ``batch`` counts within the epoch; ``seconds`` is time spent training."""

    epoch: int = 0
    batch: int = 0
    images: int = 0
    seconds: float = 0.0
    stale_validations: int = 0
    best: float | None = None


@dataclass
class Averages:
    """Sums of what each step measured since the last log line, left on the device; ``untimed`` steps were taken before a resume.

    ``last`` holds what only the last step before a log line measures, and is no sum.
    """

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    untimed: int = 0
    last: dict[str, Tensor] = field(default_factory=dict)

    def add(self, output: StepOutput) -> None:
        """Count one step. The names are the log's keys."""
        values = {
            "g": output.g_loss,
            "d": output.d_loss,
            "adversarial": output.adversarial,
            "d_real": output.d_real,
            "d_fake": output.d_fake,
        }
        values.update({f"terms.{name}": value for name, value in output.terms.items()})
        for name, value in values.items():
            if value is not None:
                self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.last = {f"gradients.{name}": value for name, value in output.gradient_norms.items()}
        self.count += 1

    def means(self) -> dict[str, Tensor]:
        """The mean of each sum, and what the last step measured."""
        return {**{name: value.float() / self.count for name, value in self.sums.items()}, **self.last}


class Trainer:
    """One training run in one process: its networks, its position, and all that is written on the way.

    Args:
        recipe: what to do.
        run: where to write.
        engine: where to compute.
        data: the pairs, opened and inspected.
        quiet: no progress.
        start: the weights to begin with; None is random ones, or those of a saved state.
    """

    def __init__(
        self, recipe: Recipe, run: RunDirectory, engine: Engine, data: OpenedData, quiet: bool = False, start: Start | None = None
    ) -> None:
        self.recipe, self.run_directory, self.engine, self.data, self.quiet = recipe, run, engine, data, quiet
        training = recipe.training
        if len(data.val) == 0 or training.validate_every == 0:
            if training.patience is not None:
                raise UserError("training.patience needs validation pairs, and there are none: add a val folder, or leave patience out")
            if training.schedule == "plateau":
                raise UserError(
                    "training.schedule plateau needs validation pairs, and there are none: add a val folder, or choose another schedule"
                )
        if len(data.train) < engine.world_size:
            raise UserError(
                f"there {'is' if len(data.train) == 1 else 'are'} {counted(len(data.train), 'training pair')} for {engine.world_size} "
                "processes, and each needs one: use fewer --devices"
            )
        self.validation = Validation(data, training.best_metric, engine.device, training.validate_every > 0, training.inference_norm)
        seed_everything(training.seed)
        self.step = build_step(Setup(recipe, (data.source_channels, data.target_channels), engine, unpaired=data.unpaired))
        self.generator = self.step.generator
        channels = data.source_channels, data.target_channels
        self.began_with: Started | None = None if start is None else start.fill(self.step.networks(), channels, self._domains())
        self.ema = EMA(self.generator, training.ema) if training.ema is not None else None
        self.health = Health(recipe.to_dict(), data.unpaired)
        self.first_weights = self._weights()
        self.plateau = Plateau() if training.schedule == "plateau" else None
        self.position = Position()
        self.averages = Averages()
        self.batches_per_epoch = self._sampler(0, 0).batches
        self.updates = Updates(self.step, engine, graphs_for(recipe, self.step, engine), quiet)
        self.feed = feed(data.train, recipe.data, training.update_size, engine.device)
        self.previews = Previews(data, training.preview_count, run.samples, engine.device, training.inference_norm)
        self.data_check = DataCheck(data, run, engine.leads, quiet, self._write)
        self.log: RunLog | None = None  # opened by fit, in the process that leads
        self.expected = Expectation(quiet=True)
        self.save_seconds = 0.0
        self.started = self.saved_at = self.logged_at = time.monotonic()
        seed_everything(training.seed + 1 + engine.rank)  # from here on each process draws its own dropout

    # ---- the loop -------------------------------------------------------------------------------------------------------

    def fit(self, stop: StopRequest, saved: dict[str, Any] | None = None) -> None:
        """Train from the beginning or from a saved state to the end.

        Args:
            stop: asked after every step.
            saved: what :meth:`state_dict` gave, to go on from.

        Raises:
            RunFailure, Interrupted: as :func:`train`.
        """
        training = self.recipe.training
        finished = False
        try:
            self._begin(saved)
            total = training.epochs * len(self._sampler(0, 0)) * self.engine.world_size
            with Progress(total, "train", initial=self.position.images, quiet=self.quiet) as progress:
                while not self._is_over():
                    self._epoch(stop, progress)
                    self._end_epoch()
            if self._patience_is_over() and not self.quiet:
                say(f"stopped early: {training.best_metric} has not improved for {training.patience} validations")
            self._save()
            self._write("end", seconds=self._seconds(), conditions=self.health.conditions())
            finished = True
        finally:
            self.data_check.close()
            self.feed.batches.close()
            if self.log is not None:
                self.log.close(finished)

    def _begin(self, saved: dict[str, Any] | None) -> None:
        """Take up what was saved and open the log."""
        if saved is not None:
            try:
                self.load_state_dict(saved)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, RuntimeError) as error:
                raise damaged(self.run_directory.checkpoint, " ".join(str(error).split())[:300]) from error
        if self.engine.leads:
            kept = None if saved is None else int(saved["log_bytes"])
            seen = None if saved is None else self.position.images
            self.log = RunLog(self.run_directory.log, kept, tuple(self.recipe.training.trackers), self.recipe, seen, self.quiet)
            write_environment(self.run_directory, self.recipe, self.engine.device, self.engine.world_size, self._started_from())
        changed = {} if saved is None else self._lengthened(Recipe.from_dict(saved["recipe"]))
        if changed and self.engine.leads:
            self.run_directory.keep_recipe(self.recipe)
        facts: dict[str, Any] = {**self._pairing(), **({"changed": changed} if changed else {})}
        names = {"source": list(self.data.source.file_names), "target": list(self.data.target.file_names)}
        if any(names.values()):
            facts["channel_names"] = names
        if saved is None and self.began_with is not None:
            facts["started_from"] = self.began_with.record
        self._write("start" if saved is None else "resume", pairs=len(self.data.train), parameters=self._sizes(), **facts)
        self.started = self.saved_at = self.logged_at = time.monotonic()
        self.expected = Expectation(self.quiet)

    def _epoch(self, stop: StopRequest, progress: Progress) -> None:
        training, position = self.recipe.training, self.position
        sampler = self._sampler(position.epoch, position.batch)
        self.generator.train()
        for batch in self._batches(sampler):
            share = self._share()
            factor = self._schedule(share)
            self.step.set_learning_rate(factor)
            seen = len(batch) * self.engine.world_size
            before = position.images
            log_due = passed(training.log_every, before, before + seen)
            self.averages.add(self.updates(batch.to(self.engine.device), measure=log_due))
            if self.ema is not None:
                self.ema.update(self.generator)
            position.images += seen
            position.batch += 1
            progress.advance(seen)
            if training.minutes is not None and share > 0:
                progress.expect(round(position.images / share))
            self.expected.after(seen, progress.left)
            if log_due or (self.engine.device.type == "cpu" and self.engine.world_size == 1):  # elsewhere asking costs a wait
                self._check_finite()
            if log_due:
                self._log_step(progress, training.learning_rate * factor)
            if passed(training.preview_every, before, position.images):
                self._preview()
            if passed(training.keep_every, before, position.images):
                self._keep()
            self.data_check.look()
            stop_asked, long_ago, data_failed = self.engine.any(
                stop.signal is not None, time.monotonic() - self.saved_at > CHECKPOINT_SECONDS, self.data_check.error is not None
            )
            if passed(training.checkpoint_every, before, position.images) or long_ago:
                self._save()
            if stop_asked:
                self._stop(stop)
            if data_failed:
                self._save()
                raise self.data_check.error or UserError("pairs cannot be used: the leading process says which")
            if training.minutes is not None and self._time_is_up():
                return
        position.epoch, position.batch = position.epoch + 1, 0

    def _batches(self, sampler: PairSampler) -> Iterator[Batch]:
        """The batches of an epoch; if one cannot be read any more, the state is saved first.

        Raises:
            UserError: a pair cannot be used.
        """
        try:
            yield from self.feed.batches.epoch(sampler)
        except UserError as error:
            if self.engine.world_size > 1:  # the others wait for this process, and cannot save with it
                raise
            self._save()
            raise self.data_check.stopping(str(error)) from error

    def _end_epoch(self) -> None:
        """Validation, previews and a checkpoint at the end of an epoch, or of the time."""
        training, position = self.recipe.training, self.position
        last = self._is_over()
        if (
            training.validate_every
            and (position.epoch % training.validate_every == 0 or (last and training.minutes))
            and self.validation.possible
        ):
            self._validate()
        if training.preview_every is None or last or self._is_over():
            self._preview()
        if training.checkpoint_every is None and not last:
            worth = self.save_seconds <= 1 or time.monotonic() - self.saved_at >= self.save_seconds / CHECKPOINT_SHARE
            if self.engine.any(worth)[0]:
                self._save()

    def _is_over(self) -> bool:
        """Whether nothing more is to be trained."""
        return self.position.epoch >= self.recipe.training.epochs or self._time_is_up() or self._patience_is_over()

    def _time_is_up(self) -> bool:
        minutes = self.recipe.training.minutes
        return minutes is not None and self.engine.any(self._seconds() >= 60 * minutes)[0]  # by anybody's clock, for all

    def _patience_is_over(self) -> bool:
        patience = self.recipe.training.patience
        return patience is not None and self.position.stale_validations >= patience

    def _stop(self, stop: StopRequest) -> None:
        if self.engine.world_size > 1:
            if not self.quiet:
                say(StopRequest.WORDS)
            stop.signal = next(number for number in self.engine.gather(stop.signal) if number is not None)  # not every process got one
        self._save()
        path = shlex.quote(str(self.run_directory.path)) + plugin_flags()
        raise Interrupted(
            f"stopped at {self.position.images:,} images; the state is saved: go on with  transfigure train --out {path} --resume",
            stop.exit_code,
        )

    # ---- measuring ------------------------------------------------------------------------------------------------------

    def _check_finite(self) -> None:
        bad = broken({name: float(value) for name, value in self.averages.sums.items()})
        if self.engine.any(bool(bad))[0]:  # every process stops with the one that saw it
            bad = bad or ["a loss"]
            self._write("health", code="nan", level="error", message=f"{', '.join(bad)} became NaN or infinite: training stopped here.")
            last = (
                f"the last checkpoint is intact: {self.run_directory.checkpoint}"
                if self.run_directory.checkpoint.exists()
                else "no checkpoint yet"
            )
            raise RunFailure(
                f"{', '.join(bad)} became NaN or infinite after {self.position.images:,} images ({last}): "
                "lower --training.learning_rate or the weight of the term, and start again"
            )

    def _log_step(self, progress: Progress, learning_rate: float) -> None:
        position, averages, training = self.position, self.averages, self.recipe.training
        measured = averages.means()
        values = dict(zip(measured, self.engine.mean(torch.stack(list(measured.values()))).tolist()))
        terms, gradients = (
            {name.removeprefix(group): values.pop(name) for name in measured if name.startswith(group)}
            for group in ("terms.", "gradients.")
        )
        now = time.monotonic()
        images = (averages.count - averages.untimed) * training.update_size * self.engine.world_size
        rate = images / max(now - self.logged_at, 1e-9)
        self.logged_at = now
        self.averages = Averages()
        speed = {"images_per_second": rate, "seconds": self._seconds()}
        self._write("step", epoch=position.epoch, **values, terms=terms, gradients=gradients, learning_rate=learning_rate, **speed)
        words = [f"{name} {value:.3f}" for name, value in terms.items()] + [f"G {values['g']:.2f}"]
        saturated, certain = None, False
        if "d" in values:
            words.append(f"D {values['d']:.2f}")
        if "d_real" in values and "d_fake" in values:
            words[-1] += f" (real {values['d_real']:.2f}, fake {values['d_fake']:.2f})"
            if (gan := self.step.gan) is not None:
                outputs = values["d_real"], values["d_fake"]
                saturated, certain = gan.is_saturated(*outputs), gan.is_certain(*outputs)
        of = f"/{training.epochs}" if training.minutes is None else ""
        progress.words(f"train  epoch {position.epoch + 1}{of}", "  ".join(["", *words]))
        self._report(self.health.losses(position.images, saturated, certain))
        self._report(self.health.weights(position.images, self._weights(), self.first_weights))

    @contextlib.contextmanager
    def _untimed(self) -> Iterator[None]:
        """What is done meanwhile does not count in images per second."""
        start = time.monotonic()
        yield
        self.logged_at += time.monotonic() - start

    def _preview(self) -> None:
        if self.engine.leads:
            with self._untimed():
                fakes, targets = self.previews.draw(self._model(), self.position.images)
                if self.log is not None and self.recipe.training.trackers:
                    self.log.pictures(self.previews.strips(fakes), self.position.images)
            self._write("preview", epoch=self.position.epoch, **signs(fakes, targets))
            self._report(self.health.previews(self.position.images, fakes, targets))
            self._report(self.health.weights(self.position.images, self._weights(), self.first_weights))

    def _keep(self) -> None:
        if self.engine.leads:
            with self._untimed():
                kept = {"which": "kept", "images": self.position.images}
                save_model(self.run_directory.kept_model(self.position.images), self._model().state_dict(), self._model_config(kept))

    def _validate(self) -> None:
        training, position = self.recipe.training, self.position
        with self._untimed():
            metrics = self.validation.run(self._model(), quiet=self.quiet) if self.engine.leads else {}
            metrics = self.engine.gather(metrics)[0]
        value = metrics[training.best_metric]
        better = math.isfinite(value) and (
            position.best is None or (value < position.best if self.validation.lower_is_better else value > position.best)
        )
        if better:
            position.best, position.stale_validations = value, 0
            if self.engine.leads:
                chosen = {"which": "best", "by": f"{training.best_metric} {value:.4g} on {len(self.data.val)} validation pairs"}
                save_model(self.run_directory.best_model, self._model().state_dict(), self._model_config(chosen))
        else:
            position.stale_validations += 1
        self._write("validation", epoch=position.epoch, metrics=metrics, best=better)
        if self.plateau is not None and self.plateau.lowers(value, self.validation.lower_is_better, training.decay_patience):
            self._say_lowered()

    def _say_lowered(self) -> None:
        training = self.recipe.training
        if not self.quiet:
            rate = training.learning_rate * self._schedule(self._share())
            after = f"{training.decay_patience} validation{'s' * (training.decay_patience > 1)}"
            say(f"{training.best_metric} has not improved for {after}: the learning rate is now {rate:.3g}")

    def _report(self, findings: list[dict[str, Any]]) -> None:
        for finding in findings:
            self._write("health", **finding)
            if not self.quiet:
                say(f"{finding['level']}: {finding['message']}")

    def _write(self, kind: str, **values: Any) -> None:
        if self.log is not None:
            self.log.write(kind, self.position.images, **values)

    # ---- state ----------------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """The checkpoint and the model; refused while anything in the networks is not finite, so the last good state stays."""
        start = time.monotonic()
        networks = self.step.networks()
        for network in networks.values():
            if not all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values()):
                self._write(
                    "health", code="nan", level="error", message="A network's weights became NaN or infinite: training stopped here."
                )
                raise RunFailure(
                    f"a network's weights are no longer finite after {self.position.images:,} images; the last good checkpoint is kept: "
                    "lower --training.learning_rate and start again"
                )
        self.engine.check_in_step(list(networks.values()))
        self.position.seconds = self._seconds()
        self.started = time.monotonic()
        state = self.state_dict()
        if self.log is not None:
            save_checkpoint(self.run_directory.checkpoint, {**state, "log_bytes": self.log.size()})
            last = {"which": "last", "images": self.position.images}
            save_model(self.run_directory.model, self._model().state_dict(), self._model_config(last))
            if (inverse := self.step.inverse_generator) is not None:
                save_model(self.run_directory.inverse_model, inverse.state_dict(), self._model_config(last, swapped=True))
        self.engine.barrier()
        self.saved_at = time.monotonic()
        self.save_seconds = self.saved_at - start
        self.logged_at += self.save_seconds

    def state_dict(self) -> dict[str, Any]:
        """Everything that exact resume needs, as plain values and tensors; all processes call it together.

        Its keys: ``recipe``, ``data`` (what must be as it was), ``step``, ``ema``, ``plateau``, ``position``, ``averages``, ``health``,
        ``random`` (the random numbers of every process, in rank order), ``pools`` (what the processes after the first have in theirs), and
        ``started_from`` (whose weights it began with).
        """
        sums = self.averages.sums
        if self.engine.world_size > 1 and sums:  # one set for all, whose mean over them is the same
            sums = dict(zip(sums, self.engine.mean(torch.stack(list(sums.values()))).unbind()))
        return {
            "recipe": self.recipe.to_dict(),
            "data": self._state_of_data(),
            "step": self.step.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "plateau": None if self.plateau is None else asdict(self.plateau),
            "position": asdict(self.position),
            "averages": {"sums": sums, "count": self.averages.count},
            "health": self.health.state_dict(),
            "random": self.engine.gather(random_state(self.engine.device)),
            "pools": self.engine.gather_in_lead({name: on_cpu(pool.state_dict()) for name, pool in self.step.pools().items()})[1:],
            "started_from": self._started_from(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state.

        Raises:
            UserError: the data or the number of processes is not what it was.
        """
        engine = self.engine
        then, now = state["data"], self._state_of_data()
        if (then["pairs"], then["channels"]) != (now["pairs"], now["channels"]):
            raise UserError(
                f"the data is not what this run was trained on: {then['pairs']} pairs with {then['channels']} channels then, "
                f"{now['pairs']} pairs with {now['channels']} now"
            )
        if then["identity"] != now["identity"]:
            raise UserError(
                f"the data is not what this run was trained on: {now['pairs']} pairs as then, but of other names; put the old ones back"
            )
        processes = len(state["random"])
        if processes != engine.world_size:
            raise UserError(f"this run was trained by {counted(processes, 'process', 'processes')}: resume it with --devices {processes}")
        if pools := state.get("pools"):  # of one process, and in older files, there are none
            state = {**state, "step": {**state["step"], **([{}, *pools][engine.rank])}}
        self._check_fits(state)
        self.step.load_state_dict(state["step"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        if self.plateau is not None:
            self.plateau = Plateau(**state["plateau"])
        self.position = Position(**state["position"])
        sums, count = state["averages"]["sums"], state["averages"]["count"]
        self.averages = Averages({name: value.to(engine.device) for name, value in sums.items()}, count, untimed=count)
        self.health.load_state_dict(state["health"])
        self.began_with = None if state.get("started_from") is None else Started(state["started_from"])
        restore_random_state(state["random"][engine.rank], engine.device)
        if not self.quiet:
            self._say_resumed()

    def _lengthened(self, before: Recipe) -> dict[str, dict[str, Any]]:
        """Which keys say another length than when the state was saved, what they were and are; it is also said, with what it changes."""
        differing = {key: values for key, values in self.recipe.differences(before).items() if key in LENGTH}
        words = [f"{key} is {now} and was {then}" for key, (now, then) in differing.items()]
        if differing and (schedule := before.training.schedule) in SPREAD:
            of = before.training, self.recipe.training
            then, now = (training.learning_rate * self._schedule(self._share(training), training) for training in of)  # of all processes
            words.append(f"{schedule} is spread anew, and the learning rate goes on at {now:.3g} where it stood at {then:.3g}")
        if words and not self.quiet:
            say(f"note: {'; '.join(words)}")
        return {key: {"was": then, "now": now} for key, (now, then) in differing.items()}

    def _say_resumed(self) -> None:
        position, training = self.position, self.recipe.training
        if note := other_machine(self.run_directory, self.engine.device):
            say(f"note: {note}")
        after = f"after {duration(position.seconds)} of training"
        if not self._is_over():
            say(f"resumed at {counted(position.images, 'image')} (epoch {position.epoch + 1}, {after})")
            return
        if position.epoch < training.epochs and not self._patience_is_over():
            more = f"its {training.minutes:g} minutes are over: to train on, give more as --training.minutes"
        elif position.epoch < training.epochs:
            more = f"its {training.best_metric} had not improved for {training.patience} validations; a longer patience is for a new run"
        else:
            more = f"to train on, give more than {training.epochs} as --training.epochs"
            more += f", over which {training.schedule} is then spread" if training.schedule in SPREAD else ""
        done = f"{counted(position.images, 'image')}, {position.epoch} of {counted(training.epochs, 'epoch')}"
        say(f"this training is finished: {done}, {after}; {more}")

    def _check_fits(self, state: dict[str, Any]) -> None:
        """See that every part of a saved state fits what it is restored into, before anything is; what torch would only notice later too.

        Raises:
            ValueError: one does not.
        """
        step, saved = self.step, state["step"]
        networks, optimizers, pools = step.networks(), step.optimizers(), step.pools()
        if missing := next((name for name in (*networks, *optimizers, *pools, *step.scalers()) if name not in saved), None):
            raise ValueError(f"it has no {missing}")
        for name, network in networks.items():
            check_network(name, saved[name], network.state_dict())
        for name, optimizer in optimizers.items():
            check_optimizer(name, saved[name], optimizer)
        crop = self.recipe.data.crop_size
        for name in step.scalers().keys() & saved.keys():
            check_scaler(name, saved[name])
        for name, pool in pools.items():
            if isinstance(pool, ImagePool):
                channels = self.data.source_channels if name.startswith("inverse_") else self.data.target_channels
                check_pool(name, saved[name], pool.size, (channels, crop, crop))
        if (self.ema is None) != (state["ema"] is None):
            raise ValueError(f"it has {'an' if state['ema'] else 'no'} average of the generator")
        if (self.plateau is None) != (state.get("plateau") is None):
            raise ValueError(f"it has {'no' if self.plateau else 'a'} count of validations for the schedule")
        if self.ema is not None:
            check_network("ema", state["ema"]["generator"], self.ema.generator.state_dict())
        sums, count = state["averages"]["sums"], state["averages"]["count"]
        if wrong := next((name for name, value in sums.items() if value.ndim or not value.is_floating_point()), None):
            raise ValueError(f"its average of {brief(wrong)} is no number")
        if (count > 0) != ("g" in sums):
            raise ValueError(f"it has averages of {count} steps and {'no ' * ('g' not in sums)}sum of g")

    def _model(self) -> nn.Module:
        """The generator that is validated and saved: the average if there is one."""
        return self.ema.generator if self.ema is not None else self.generator

    # ---- small things ---------------------------------------------------------------------------------------------------

    def _sampler(self, epoch: int, batch: int) -> PairSampler:
        training = self.recipe.training
        return PairSampler(
            len(self.data.train),
            training.update_size,
            training.seed,
            epoch,
            start_batch=batch,
            rank=self.engine.rank,
            world_size=self.engine.world_size,
        )

    def _share(self, training: Training | None = None) -> float:
        """How much of the training (or one of another length) is done, from 0 to 1: of its updates, or of its time if that is further."""
        position, training = self.position, training or self.recipe.training
        done = (position.epoch * self.batches_per_epoch + position.batch) / (training.epochs * self.batches_per_epoch)
        if training.minutes is None:
            return done
        timed = torch.tensor(self._seconds() / (60 * training.minutes), device=self.engine.device)
        return min(1.0, max(done, float(self.engine.mean(timed))))

    def _schedule(self, share: float, training: Training | None = None) -> float:
        """The factor of the learning rates at this position, in this training or in another one's schedule."""
        reductions = 0 if self.plateau is None else self.plateau.reductions
        return factor(training or self.recipe.training, Moment(share, self.position.epoch, reductions))

    def _seconds(self) -> float:
        return self.position.seconds + time.monotonic() - self.started

    def _pairing(self) -> dict[str, str]:
        """For the log: whether a source met its own target; nothing of pairs."""
        return {} if not self.data.unpaired else {"pairing": "shuffled" if self.data.has_pairs else "none"}

    def _weights(self) -> dict[str, float]:
        return {name: weight_size(network) for name, network in self.step.networks().items()}

    def _sizes(self) -> dict[str, int]:
        return {name: sum(p.numel() for p in network.parameters()) for name, network in self.step.networks().items()}

    def _state_of_data(self) -> dict[str, Any]:
        channels = [self.data.source_channels, self.data.target_channels]
        return {"channels": channels, "pairs": len(self.data.train), "identity": dataset_digest(self.data)}

    def _started_from(self) -> dict[str, Any] | None:
        return None if self.began_with is None else self.began_with.record

    def _domains(self) -> tuple[Domain, Domain]:
        """What a model says of its sources and targets."""
        section, data = self.recipe.data, self.data
        told, _ = section.no_data
        source = Domain.of(data.source, data.source_dtype, section.source_range)
        target = Domain.of(data.target, data.target_dtype, section.target_range)
        no_data = told if told == "nan" or isinstance(told, float) else None
        return replace(source, no_data=no_data), replace(target, no_data=in_model(data.no_data[1]))

    def _model_config(self, checkpoint: dict[str, Any], swapped: bool = False) -> ModelConfig:
        """What a model directory says of the generator being trained, or (``swapped``) of that of the other direction."""
        recipe, domains = self.recipe, self._domains()
        if swapped:
            domains = domains[1], domains[0]
            recipe = recipe.replaced(data=recipe.data.swapped())
        return ModelConfig(
            generator=recipe.generator.name,
            options=dict(recipe.generator.options),
            source=domains[0],
            target=domains[1],
            size_multiple=self.generator.size_multiple,
            trained_size=recipe.data.crop_size,
            inference=Inference(norm=recipe.training.inference_norm),
            checkpoint=checkpoint,
            recipe=recipe.to_dict(),
            started_from=self._started_from(),
        )


def on_cpu(state: Any) -> Any:
    """Plain values with their tensors on the CPU."""
    if isinstance(state, dict):
        return {key: on_cpu(value) for key, value in state.items()}
    if isinstance(state, list):
        return [on_cpu(value) for value in state]
    return state.cpu() if isinstance(state, Tensor) else state


def passed(every: int | None, before: int, now: int) -> bool:
    """Whether a count has reached or passed a multiple of ``every``, also when it moves in steps that do not divide it."""
    return every is not None and now // every > before // every


def dataset_digest(data: OpenedData) -> str:
    """A digest of the pairs' names in their order: with other names the same positions would mean other pairs."""
    names = "\n".join(record.name for record in data.train.records)
    if not data.has_pairs:  # a record's name is its source's: its target has another
        pictures = [picture for record in data.train.records for picture in (record.a, record.b)]
        names += "\n".join(f"{path.name}{region_of(picture) or ''}" for picture in pictures for path in picture.paths)
    try:
        spelt = names.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a manifest may hold what no file name can be
        spelt = names.encode("utf-8", "surrogatepass")
    return hashlib.sha256(spelt).hexdigest()

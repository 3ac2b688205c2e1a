"""Two sets without correspondence: what is compared with what."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.tiny import noise_image, write_images
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.evaluation import folders
from transfigure.evaluation.folders import evaluate_folders, statistics_of
from transfigure.evaluation.result import Evaluation
from transfigure.evaluation.schema import Row
from transfigure.features.extractors import Extractor
from transfigure.metrics.metric import TARGET_ITSELF

NAMES = [f"{index}.png" for index in range(12)]


def darker(folder: Path, like: Path, share: float) -> Path:
    for file in like.iterdir():
        images.write(folder / file.name, (images.read(file) * share).astype(np.uint8))
    return folder


def frechet(result: Evaluation) -> Row:
    return next(row for row in result.rows if row.of == "random_frechet")


@pytest.mark.parametrize("stored", [False, True])
def test_the_bound_is_of_the_sources_and_the_value_of_the_generated(tmp_path: Path, stored: bool) -> None:
    real = write_images(tmp_path / "real", *NAMES)
    made, source = darker(tmp_path / "made", real, 0.8), darker(tmp_path / "source", real, 0.4)
    against = real
    if stored:
        against = tmp_path / "real.npz"
        statistics_of(real, "random", quiet=True).save(against)
    result = evaluate_folders(made, against, source=source, unpaired=True, metrics=["l1", "random_frechet"], quiet=True)
    alone = evaluate_folders(source, against, unpaired=True, metrics=["random_frechet"], quiet=True)
    row = frechet(result)
    assert 0 < row.value < row.bounds["source copied"] == pytest.approx(frechet(alone).value)
    assert set(row.bounds) == {"source copied", TARGET_ITSELF}
    assert set(frechet(alone).bounds) == {TARGET_ITSELF}
    assert "needs pairs" in result.rows[0].skipped
    paired = evaluate_folders(made, real, source=source, metrics=["random_frechet"], quiet=True)
    assert (row.value, row.bounds["source copied"]) == pytest.approx((frechet(paired).value, frechet(paired).bounds["source copied"]))


def test_c49_statistics_of_another_network_end_with_the_reason(tmp_path: Path) -> None:
    """0.1.0 left the only metric out and ended well."""
    real = write_images(tmp_path / "real", *NAMES)
    np.savez(tmp_path / "foreign.npz", mu=np.zeros(192), sigma=np.eye(192))
    with pytest.raises(UserError, match=r"foreign.npz cannot be compared with: it holds 192 features of each image, and .* gives 182"):
        evaluate_folders(real, tmp_path / "foreign.npz", unpaired=True, metrics=["random_frechet"], quiet=True)
    assert (
        main(["evaluate", "--generated", str(real), "--target", str(tmp_path / "foreign.npz"), "--unpaired", "--metrics", "random_frechet"])
        == 2
    )


def test_values_and_transparency_are_read_as_asked(tmp_path: Path) -> None:
    for name in NAMES:
        picture = noise_image(16, 16, 1, "float32", seed=int(name.split(".", maxsplit=1)[0]))
        images.write(tmp_path / "wide" / name.replace("png", "tif"), picture * 100)
        images.write(tmp_path / "plain" / name.replace("png", "tif"), picture)
    wide = statistics_of(tmp_path / "wide", "random", value_range=(0, 100), quiet=True)
    assert np.allclose(wide.mean, statistics_of(tmp_path / "plain", "random", quiet=True).mean, atol=1e-4)
    with pytest.raises(UserError, match="value range"):
        statistics_of(tmp_path / "wide", "random", quiet=True)
    see_through = write_images(tmp_path / "clear", "a.png", "b.png", channels=4)
    with pytest.raises(UserError, match="transparent"):
        statistics_of(see_through, "random", quiet=True)
    assert statistics_of(see_through, "random", alpha="drop", quiet=True).count == 2


@pytest.mark.parametrize("resize", [None, "tf1", "clean"])
def test_inception_is_fed_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resize: Literal["tf1", "clean"] | None) -> None:
    monkeypatch.setattr(folders, "inception", lambda how: Extractor("pixels", "", how, lambda batch: batch.flatten(1)))
    assert statistics_of(write_images(tmp_path, "a.png", "b.png"), resize=resize, quiet=True).resize == (resize or "tf1")

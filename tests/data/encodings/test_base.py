"""What the numbers of files mean to the networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transfigure.data.encodings.base import LinearValues
from transfigure.data.encodings.by_name import encoding_of
from transfigure.data.pixels import to_array, to_tensor
from transfigure.networks.model_file import Domain
from transfigure.recipe import Data

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("dtype", "given"), [("uint8", None), ("uint16", None), ("uint16", (100.0, 4095.0))])
def test_values_are_the_line_that_they_always_were(dtype: str, given: tuple[float, float] | None) -> None:
    low, high = given or (0, np.iinfo(dtype).max)
    array = RNG.integers(int(low), int(high), (9, 7, 2), endpoint=True).astype(dtype)
    encoding = encoding_of(Data(path="nowhere", source_range=given), "source", 2, dtype)
    seen = encoding.encode(array)
    assert torch.equal(seen, to_tensor(array, given)) and (encoding.channels, encoding.name, encoding.rule) == (2, "values", None)
    assert np.array_equal(encoding.decode(seen), to_array(seen, dtype, given)) and np.array_equal(encoding.decode(seen), array)


def test_a_model_takes_files_of_another_depth_at_their_full_range() -> None:
    deep = Domain(1, "uint16", (0.0, 4095.0)).to_encoding()
    assert float(deep.encode(np.full((2, 2, 1), 4095, np.uint16)).max()) == 1 == float(deep.encode(np.full((2, 2, 1), 255, np.uint8)).max())
    assert float(deep.encode(np.full((2, 2, 1), 65535, np.uint16)).max()) == 1  # clipped to the model's range
    assert float(LinearValues(1, "uint16", (0.0, 4095.0)).encode(np.full((2, 2, 1), 255, np.uint8)).max()) < -0.8


def test_a_model_of_an_earlier_version_means_values_without_names() -> None:
    known = Domain.from_dict({"channels": 3, "dtype": "uint8", "value_range": None})
    assert (known.encoding, known.names, known.classes) == ("values", (), ())
    named = Domain.of(LinearValues(2, "uint16", None, ("DAPI", "MAP2")), "uint16", None)
    assert named.names == ("DAPI", "MAP2") == named.to_encoding().names
    assert Domain.from_dict({"channels": 2, "names": ["DAPI", "MAP2"]}).names == named.names


@pytest.mark.parametrize("more", [{"encoding": "colour"}, {"names": ["one"]}, {"names": "ab"}])
def test_what_is_no_domain_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"encoding|names"):
        Domain.from_dict({"channels": 2, **more})

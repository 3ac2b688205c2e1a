from __future__ import annotations

import threading
import warnings

import pytest

from transfigure.progress import without_warnings


def test_one_thread_does_not_end_another_s_silence(recwarn: pytest.WarningsRecorder) -> None:
    """Two threads read images: the first to come leaves first, then the other's decoder warns; afterwards all is as before."""
    first_left, second_came = threading.Event(), threading.Event()

    def second() -> None:
        with without_warnings():
            second_came.set()
            assert first_left.wait(30)
            warnings.warn("an aside", stacklevel=1)

    warnings.simplefilter("always")
    thread = threading.Thread(target=second)
    with without_warnings():
        thread.start()
        assert second_came.wait(30)
    first_left.set()
    thread.join()
    assert not recwarn.list
    warnings.warn("of somebody else", stacklevel=1)
    assert [str(one.message) for one in recwarn.list] == ["of somebody else"]

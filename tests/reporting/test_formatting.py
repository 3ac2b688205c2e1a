from __future__ import annotations

from transfigure.reporting.formatting import count, plain, short_hash, to_places, weight


def test_numbers_are_written_for_people() -> None:
    assert [plain(value) for value in (17.21, 0.4312, 123.4, -0.05, 0.0, 48_000.4, None)] == [
        "17.2", "0.431", "123", "−0.0500", "0.00", "48,000", "not a number",
    ]  # fmt: skip
    assert [count(value) for value in (12, 1_900_000, 45_600)] == ["12", "1.9 M", "45.6 k"]
    assert [weight(value) for value in (512, 1400, 217_000_000, 3e12)] == ["512 bytes", "1.4 kB", "217 MB", "3e+03 GB"]


def test_numbers_beside_others() -> None:
    assert [to_places(value, 1) for value in (8.1, 0.0, 0.04, -0.031, 0.05, None)] == [
        "8.1",
        "0.0",
        "0.0400",
        "−0.0310",
        "0.1",
        "not a number",
    ]


def test_only_a_hash_is_shortened() -> None:
    assert short_hash("ab" * 32) == "ab" * 6
    assert [short_hash(text) for text in ("seed 0", "", "0" * 31, "x" * 64)] == ["seed 0", "", "0" * 31, "x" * 64]

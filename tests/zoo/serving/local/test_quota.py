"""A container with two of a machine's many processors answers two requests at a time, and not many slowly."""

from pathlib import Path

import pytest

from zoo.serving.local import quota


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 4), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("900000 100000", 4), ("", 4)],
)
def test_a_limit_counts(limit: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "FILE", tmp_path / "cpu.max")
    assert quota.within_quota(4) == 4
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert quota.within_quota(4) == expected

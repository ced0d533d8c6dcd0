"""Compiled loops, with and without a place where what is compiled can be kept."""

import pytest
from numba.core import caching

from synctrack.jit import njit


def total(values: tuple[int, ...]) -> int:
    result = 0
    for value in values:
        result += value
    return result


@pytest.mark.parametrize("is_kept", [True, False])
def test_loops_are_compiled_without_a_place_for_a_cache_too(monkeypatch, tmp_path, is_kept):
    monkeypatch.setattr(caching.config, "CACHE_DIR", str(tmp_path))
    if not is_kept:
        monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    compiled = njit()(total)
    assert compiled((1, 2, 3)) == total((1, 2, 3))
    assert compiled.nopython_signatures
    assert bool([*tmp_path.rglob("*.nbi")]) == is_kept

import runpy
from pathlib import Path

import pytest

memory = runpy.run_path(str(Path(__file__).parents[2] / "benches" / "memory.py"))


@pytest.mark.skipif(not memory["is_supported"](), reason="needs /proc with RssAnon")
@pytest.mark.parametrize("pruning", ["hard", "none"])
def test_training_from_a_mapped_file_takes_little_memory(tmp_path, pruning):
    memory["write_random"](tmp_path)
    measured = memory["measure"](f"fastl0 {pruning}", tmp_path)
    assert measured.loaded > 0
    assert measured.growth <= 25

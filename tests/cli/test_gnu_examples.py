"""The examples of GNU parallel's manual: same as there, or the reason is in the page in docs/."""
import importlib.util
import pathlib
import re
import shutil

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("gnu", ROOT / "tests/examples/gnu.py")
gnu = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gnu)
EXAMPLES = gnu.examples()
PAGE = (ROOT / "docs/examples-of-gnu-parallel.md").read_text()


def test_the_page_has_them_all():
    rows = re.findall(r"^\| .*\|$", PAGE, re.M)
    assert len(EXAMPLES) > 100
    for e in EXAMPLES:
        row = [r for r in rows if f"| {e.what.replace('|', chr(92) + '|')} |" in r]
        assert row, e.what
        assert any(("same" in r) != bool(e.differs) for r in row), e.what


@pytest.mark.skipif(not shutil.which("parallel"), reason="GNU parallel is not here")
@pytest.mark.parametrize("example", EXAMPLES, ids=[e.id for e in EXAMPLES])
def test_both_give_the_same(prong, example):
    for _ in range(3):  # programs that are timed on a machine that is busy
        differs, theirs, ours = gnu.compare(example, str(pathlib.Path(prong).resolve()))
        assert ours[0] != b"did not end"
        if not differs or example.differs:
            return
    assert not differs, (theirs, ours)

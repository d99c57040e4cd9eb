"""The behaviour table of docs/python.md: prong's side, and beside it the other pools'.

prong's rows always run, and those of the standard pools that do not hang.  PRONG_TEST_PEERS=1
runs all that are installed.
"""
import os
import pathlib

import behaviour
import pytest

PEERS = [p for p in behaviour.POOLS if p != "prong" and behaviour.installed(p)]
ALL = bool(os.environ.get("PRONG_TEST_PEERS"))


@pytest.mark.parametrize("row", behaviour.ROWS)
def test_prong(row):
    if row.startswith("numpy"):
        pytest.importorskip("numpy")
    assert behaviour.outcome("prong", row, 60) == behaviour.RECORDED[row]["prong"]


def quick(pool, row):
    slow = "hangs" in behaviour.RECORDED[row][pool] or "not told" in behaviour.RECORDED[row][pool]
    return pool in behaviour.STANDARD and not slow and not row[0].isdigit()


@pytest.mark.parametrize("pool,row", [(p, r) for p in PEERS for r in behaviour.ROWS if ALL or quick(p, r)])
def test_peer(pool, row):
    """So the table says what they do, not what we would like them to do.

    Theirs may change with load and version: that is told, and fails only where it is asked for."""
    if row.startswith("numpy"):
        pytest.importorskip("numpy")
    now, recorded = behaviour.outcome(pool, row), behaviour.RECORDED[row][pool]
    if now != recorded and not ALL:
        pytest.skip(f"{pool}, {row}: {now}, recorded: {recorded}")
    assert now == recorded


def test_document_has_the_table():
    text = (pathlib.Path(__file__).parents[2] / "docs" / "python.md").read_text()
    assert "\n".join(behaviour.table()) in text

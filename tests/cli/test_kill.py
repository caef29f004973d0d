"""Commands and sessions that are killed at random moments: nothing is damaged or lost, and the next run ends well.

`CORALBAY_KILLS=100` kills each of them as often as `make torture` does.
"""

import os
import sys

import pytest

from tests.support.kills import kill_often

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked from a server"),
]
KILLS = int(os.environ.get("CORALBAY_KILLS", "5"))
NAMES = (
    "EmbedIntoCache", "EmbedIntoFolder", "CacheWrites", "SessionSaves", "QueryExport", "ProbeExport", "DicomExport",
    "PrepareData", "Pretraining",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_leaves_nothing_damaged_and_the_next_one_ends_well(name, tmp_path):
    from tests.support import kill_subjects  # imports everything that is killed

    subject = getattr(kill_subjects, name)
    assert tuple(kind.__name__ for kind in kill_subjects.SUBJECTS) == NAMES
    tally = kill_often(subject(tmp_path / "inputs"), tmp_path, KILLS)
    assert tally.kills == KILLS

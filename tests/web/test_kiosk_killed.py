"""The whole kiosk is killed while it reads tokens and a clerk works: what it acknowledged is there, and it goes on."""

import pytest
from kiosk_kills import run


@pytest.mark.vm
def test_killed_at_any_moment_the_kiosk_loses_nothing(tmp_path):
    found = run(tmp_path, tokens=2, records=2500, kills=3, seed=1)
    assert found.kills == 3
    assert found.between > 0
    assert found.records >= 2 * 2500
    assert found.deeds > 0

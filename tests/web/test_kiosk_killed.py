"""The whole kiosk is killed while it reads tokens and a clerk works: what it acknowledged is there, and it goes on."""

import pytest
from kiosk_kills import ANSWERED, BEGINNING, CONNECTED, STORED, run

TOKENS, RECORDS = 2, 600


@pytest.mark.vm
def test_killed_at_these_moments_the_kiosk_loses_nothing(tmp_path):
    """Random ones are for the soak: kiosk_kills.py."""
    found = run(tmp_path, TOKENS, RECORDS, seed=1, moments=(BEGINNING, CONNECTED, STORED, ANSWERED))
    assert found.kills == 4
    assert found.between >= 2
    assert found.records >= TOKENS * RECORDS
    assert found.deeds >= 3

"""A short soak: the unmodified firmware in CPython over a day of an office, against the truth."""

from host_tools.simulation import soak


def test_a_day_of_four_tokens_misses_nothing():
    result = soak.soak(days=1, tokens=4, seed=3)
    assert result.meetings >= 5
    assert result.missed == []
    assert result.broken_identities == 0
    assert result.records > 20
    assert result.duration_sd_s <= 60  # few meetings: a wide bound; the long soak has the real one


def test_a_deaf_radio_is_noticed(monkeypatch):
    monkeypatch.setattr(soak.Office, "heard", lambda *_: iter(()))
    result = soak.soak(days=1, tokens=4, seed=3)
    assert len(result.missed) == 2 * result.meetings > 0

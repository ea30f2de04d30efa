"""A small health authority: signs the lists of cases and serves them, for demonstrations and tests."""

"""Putting firmware on boards: which files, how they are built, how they get there and are verified."""

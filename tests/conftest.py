"""For every test: hypothesis keeps no time, since deadlines fail on a busy machine and say nothing of the code."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

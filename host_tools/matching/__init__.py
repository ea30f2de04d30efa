"""From logs and the national list to a verdict: DESIGN.md, "Matching"."""

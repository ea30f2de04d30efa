"""Whose token it is: persons, units, the ledger of tokens, its audit, results, alerts and accounts."""

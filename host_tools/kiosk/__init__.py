"""The kiosk: serves tokens, judges, shows, reports."""

"""The kiosk's database."""

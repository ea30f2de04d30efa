"""The kiosk's pages: the wearer's screen, and the clerk's and health officer's pages behind a login."""

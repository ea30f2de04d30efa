"""How the kiosk reaches tokens: adapters, connections, and the session over them."""

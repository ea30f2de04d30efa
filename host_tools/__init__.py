"""Everything that runs on a computer: the kiosk, matching, provisioning and the simulation."""

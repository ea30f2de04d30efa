"""Which files of this folder run on a token.

Read by MicroPython's image builder, which freezes them into an image (`FROZEN_MANIFEST=…/firmware/manifest.py`), and
by host_tools/provisioning/firmware_files.py, which copies them to a board. Both run it with this folder as working
folder and with `include`, `package` and `module` defined. Not here: boot.py and main.py, which stay files on the
board so that a token can always be interrupted, and boards/*/, which differ from board to board.
"""

# ruff: noqa: F821
# pyright: reportUndefinedVariable=false

import os

# What kiosk and simulator alone need; a token would pay RAM for it.
HOST_ONLY = ("kiosk_log.py", "kiosk_messages.py", "phone_wire.py")

include("$(PORT_DIR)/boards/manifest.py")
for folder in ("adapters", "tracing"):
    package(folder, [name for name in sorted(os.listdir(folder)) if name.endswith(".py") and name not in HOST_ONLY])
module("app.py")
module("switch.py")  # boot.py's, where an update waits
module("service.py")  # the technician's, over the REPL; neither is loaded by a token at work

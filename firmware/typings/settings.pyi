"""settings.py as it is made from a board's board.toml (host_tools/provisioning/firmware_files.py)."""

NAME: str
RADIO_ADV_INTERVAL_US: int
RADIO_SCAN_WINDOW_MS: int
RADIO_SCAN_PERIOD_MS: int
LOG_BLOCKS: int
LOG_DAYS: int
LOG_PARTITION: str
PINS_BUTTON: int
PINS_RED: int
PINS_GREEN: int
PINS_BLUE: int
PINS_BATTERY_ADC: int
BATTERY_DIVIDER_RATIO_X100: int
BATTERY_LOW_MV: int
BATTERY_STOP_MV: int
POWER_SLEEP: str

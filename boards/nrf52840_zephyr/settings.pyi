"""settings.py as it is made from this board's board.toml."""

NAME: str
RADIO_ALLOW_FIXED_ADDRESS: bool
RADIO_ADV_INTERVAL_US: int
RADIO_SCAN_WINDOW_MS: int
RADIO_SCAN_PERIOD_MS: int
LOG_BLOCKS: int
LOG_DAYS: int
LOG_AREA: int
PINS_BUTTON: str
PINS_RED: str
PINS_GREEN: str
PINS_BLUE: str
PINS_LOW_IS_ON: bool
BATTERY_LOW_MV: int
BATTERY_STOP_MV: int

"""The ports of the firmware on real chips: radio, store, clock, entropy, power, indicator."""

"""Checks of this machine: for the device ``auto``, and for ``dlcourse devices``."""

"""What this machine has: behind the device ``auto``, and behind ``dlcourse devices``."""

"""What systemd tells of its units: its managers, asked over D-Bus."""

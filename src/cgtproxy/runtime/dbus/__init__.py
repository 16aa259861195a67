"""D-Bus, as much of it as it takes to ask systemd about units."""

"""What every process of ours stands on: netlink, D-Bus, the event loop, sd_notify, logs, locks."""

"""The manager process: it owns nftables and routing, and runs the built-in server as its child."""

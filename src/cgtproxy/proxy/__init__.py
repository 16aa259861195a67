"""The built-in TPROXY server."""

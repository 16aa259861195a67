"""The built-in TPROXY server beside others, over real TPROXY traffic."""

"""What the configuration file says about DNS: `dns` and `dns-hijack` of a TPROXY."""

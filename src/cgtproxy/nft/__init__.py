"""The nftables side: what our table is to be, as text, as netlink, and in the kernel."""

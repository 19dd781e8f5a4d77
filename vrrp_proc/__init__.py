"""vrrp_proc."""

"""keepalived_conf."""

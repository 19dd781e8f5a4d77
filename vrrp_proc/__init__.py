"""The VRRP worker: a pure core (packet, instance, resume, ...) and a thin shell around it."""

"""The script worker: everything slow that others want done or watched."""

"""What every worker process shares: control channel, black box, log sink, run context.

Nothing in here knows VRRP, IPVS or health checks, and nothing in here imports another package of
the project.
"""

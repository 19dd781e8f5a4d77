"""ipvs_proc."""

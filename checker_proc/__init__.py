"""checker_proc."""

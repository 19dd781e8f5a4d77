"""Runs the test tiers in order, each where it can live, and says plainly what ran and what did not."""

"""Long runs that try to break the configuration reader: ``python -m tests.fuzz.mutate --minutes 10``."""

"""The proof by faults: nothing lost, nothing doubled. `python -m tests.faults --texts 10000 --seed 1`."""

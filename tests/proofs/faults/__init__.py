"""The proof by faults: nothing lost, nothing doubled. `python -m tests.proofs.faults --texts 10000 --seed 1`."""

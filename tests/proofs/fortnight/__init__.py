"""A fortnight: texts to everywhere, and the clock moved on. `python -m tests.proofs.fortnight --texts 2000`."""

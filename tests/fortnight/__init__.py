"""The proof by a fortnight: texts to everywhere, and the clock moved on. `python -m tests.fortnight --texts 2000`."""

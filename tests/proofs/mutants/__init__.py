"""Which breaks of a decision the tests notice."""

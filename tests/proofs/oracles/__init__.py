"""The laws of the hours as somebody else would write them: read from the sources, without the code under test."""

"""Everything fails that can, and no text is lost, doubled, or sent when it should not be."""

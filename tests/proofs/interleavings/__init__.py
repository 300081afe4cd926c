"""Every interleaving of what may happen to one text, by the real SQL and the real pipeline, up to a stated bound."""

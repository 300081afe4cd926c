"""Hostile and clumsy neighbors share the queue with well-behaved businesses, who must not notice."""

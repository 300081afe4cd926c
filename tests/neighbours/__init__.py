"""Hostile and clumsy neighbours share the queue with well-behaved businesses, who must not notice."""

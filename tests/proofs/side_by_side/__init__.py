"""A proof: the two schedules that run every minute go on beside each other, and neither delays the other."""

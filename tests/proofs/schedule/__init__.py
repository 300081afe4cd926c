"""A proof: whoever stops, kills and starts runners in any order, the schedule never stops unnoticed."""

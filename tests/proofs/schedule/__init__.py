"""A proof: whoever stops, kills and starts runners in any order, no schedule stops unnoticed, and no text is lost."""

"""What an application's call leaves unsaid is as the package says it: a policy value has one home."""

"""smsretry for the tests of an application: pytest loads the fixtures of `plugin` by itself. README.md has examples.

`stack.SmsStack` is the same for any other runner.
"""

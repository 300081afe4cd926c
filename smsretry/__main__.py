"""`python -m smsretry` is the command `smsretry`."""

from smsretry.cli import main

if __name__ == "__main__":
    main()

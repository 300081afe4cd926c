"""`python -m flows.serve`, as 1.0.0 called `smsretry serve`, where only the wheel is installed. It goes with 1.2.0.

The wheel has it in a folder `flows` without an `__init__.py`: a project's own `flows` comes first, and loses nothing.
"""

import sys
from runpy import run_module

if __name__ == "__main__":
    print("`python -m flows.serve` is called `smsretry serve` now, and ends with 1.2.0.", file=sys.stderr)  # noqa: T201 - a command's output
    run_module("smsretry_flows.serve", run_name="__main__", alter_sys=True)

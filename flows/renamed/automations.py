"""`python -m flows.automations`, as 1.0.0 called `smsretry automations`; see `serve.py`. It goes with 1.2.0."""

import sys
from runpy import run_module

if __name__ == "__main__":
    print("`python -m flows.automations` is called `smsretry automations` now, and ends with 1.2.0.", file=sys.stderr)  # noqa: T201 - a command's output
    run_module("smsretry_flows.automations", run_name="__main__", alter_sys=True)

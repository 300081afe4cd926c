"""Registers the deployments without their schedules, and runs nothing: `python -m tests.e2e.register`."""

from flows.serve import deployments

if __name__ == "__main__":
    for deployment in deployments():
        deployment.schedules = []
        deployment.apply()

"""A process that takes a job and never ends it, to be killed. Run by tests."""

import sys
import threading

from pbxbill.app import open_application
from pbxbill.jobs.job import Job, JobWork
from pbxbill.jobs.runner import JobRunner
from pbxbill.settings import Settings


def _wait(_work: JobWork) -> str:
    sys.stdout.write("inside\n")
    sys.stdout.flush()
    threading.Event().wait(60)
    return ""


def main() -> None:
    with open_application(sys.argv[1]) as application:
        JobRunner(application, Settings(), [Job("tidy", "waits to be killed", 3_600, _wait)]).run_now("tidy")


if __name__ == "__main__":
    main()

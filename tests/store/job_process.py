"""Takes a job and never ends it: `python -m tests.store.job_process URL`, to be killed."""

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


if __name__ == "__main__":
    with open_application(sys.argv[1]) as application:
        JobRunner(application, Settings(), [Job("tidy", "waits to be killed", 3_600, _wait)]).run_now("tidy")

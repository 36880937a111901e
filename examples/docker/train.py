"""Says where it runs, and leaves a result that belongs to you."""

import json
import os
import platform

report = {
    "run": os.environ["RUNNER_RUN_ID"],
    "system": platform.platform(),
    "python": platform.python_version(),
    "shared_memory_mib": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize >> 20,
    "user": os.getuid(),
}
print(json.dumps(report, indent=2))
with open("outputs/report.json", "w", encoding="utf-8") as f:
    json.dump(report, f)

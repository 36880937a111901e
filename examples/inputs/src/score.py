"""Reads a table and what an earlier run left."""

import argparse
import csv
import json
import os
import pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--flowers", type=pathlib.Path, required=True)
parser.add_argument("--earlier", type=pathlib.Path, required=True)
args = parser.parse_args()

with args.flowers.open(newline="") as f:
    flowers = list(csv.DictReader(f))
left = sorted(p.name for p in args.earlier.rglob("*") if p.is_file())
print(f"{len(flowers)} flowers; the earlier run left {left}")
print("the same paths are in", os.environ["RUNNER_INPUT_FLOWERS"], "and", os.environ["RUNNER_INPUT_EARLIER"])
report = {"flowers": len(flowers), "earlier": left}
pathlib.Path("outputs/report.json").write_text(json.dumps(report))

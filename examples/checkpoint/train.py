"""A training loop as PyTorch's tutorials write it, without PyTorch.

The model is a line fitted by gradient descent; what matters is the shape of
the loop: load the last checkpoint, train, save a checkpoint each epoch.
"""

import argparse
import json
import os
import random
import sys


class Line:
    """y = w * x + b, with the gradient of the mean squared error."""

    def __init__(self) -> None:
        self.w, self.b = 0.0, 0.0

    def state_dict(self) -> dict:
        return {"w": self.w, "b": self.b}

    def load_state_dict(self, state: dict) -> None:
        self.w, self.b = state["w"], state["b"]

    def step(self, points: list, rate: float) -> float:
        errors = [(self.w * x + self.b - y, x) for x, y in points]
        self.w -= rate * sum(2 * e * x for e, x in errors) / len(points)
        self.b -= rate * sum(2 * e for e, _ in errors) / len(points)
        return sum(e * e for e, _ in errors) / len(points)


def save(path: str, checkpoint: dict) -> None:
    """Whole or not at all: a script may be killed at any moment."""
    with open(path + ".tmp", "w", encoding="utf-8") as f:
        json.dump(checkpoint, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(path + ".tmp", path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--fail-at", type=int, default=0, help="epoch at which the first attempt fails")
    args = parser.parse_args()

    rng = random.Random(7)
    points = [(x, 3 * x + 1 + rng.gauss(0, 0.1)) for x in (rng.uniform(-1, 1) for _ in range(200))]
    model, first = Line(), 1
    path = os.path.join(os.environ["RUNNER_CHECKPOINT_DIR"], "checkpoint.json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            checkpoint = json.load(f)
        model.load_state_dict(checkpoint["model"])
        first = checkpoint["epoch"] + 1
        print(f"goes on after epoch {checkpoint['epoch']}")

    attempt = int(os.environ["RUNNER_ATTEMPT"])
    for epoch in range(first, args.epochs + 1):
        if attempt == 1 and epoch == args.fail_at:
            sys.exit("fails on purpose: the next attempt goes on from the checkpoint")
        for _ in range(50):
            loss = model.step(points, 0.1)
        print(f"attempt {attempt} epoch {epoch}: loss {loss:.4f}")
        save(path, {"epoch": epoch, "model": model.state_dict()})
    save("outputs/model.json", model.state_dict())


if __name__ == "__main__":
    main()

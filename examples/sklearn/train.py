"""Trains a classifier on the iris data and leaves the model in outputs/."""

import argparse
import json
import os

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--regularization", type=float, default=1.0)
    args = parser.parse_args()

    x, y = load_iris(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=7)
    model = LogisticRegression(C=1 / args.regularization, max_iter=500)
    model.fit(x_train, y_train)
    accuracy = model.score(x_test, y_test)
    print(f"run {os.environ['RUNNER_RUN_ID']}: accuracy {accuracy:.3f}")

    joblib.dump(model, "outputs/model.joblib")
    with open("outputs/metrics.json", "w", encoding="utf-8") as f:
        json.dump({"accuracy": accuracy, "regularization": args.regularization}, f)


if __name__ == "__main__":
    main()

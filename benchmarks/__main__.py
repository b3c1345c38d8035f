"""The command line: `python -m benchmarks loads --quick`."""

import argparse
import json
from pathlib import Path

from benchmarks import report
from benchmarks.runs import RUNS, Options


def main() -> None:
    arguments = parse_arguments()
    options = Options(
        seconds=1 if arguments.quick else arguments.seconds,
        rounds=1 if arguments.quick else arguments.rounds,
        quick=arguments.quick,
    )
    result = RUNS[arguments.run](options)
    print(f"\n{result.text}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result.figures.as_json(), indent=2))
    if arguments.update_docs:
        report.update_page(arguments.run, result.text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.description = "Measure the service beside its yardsticks."
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--seconds", type=int, default=3, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of all candidates")
    parser.add_argument("--quick", action="store_true", help="one round of a second")
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    parser.add_argument(
        "--update-docs", action="store_true", help="put it into docs/benchmarks.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

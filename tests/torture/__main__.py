"""The long campaigns: python -m tests.torture [-k REGEX] [--scale X] [--json FILE] [CAMPAIGN…]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from tests.torture import conservation, faults, kills, together
from tests.torture.fuzz import campaign
from tests.torture.report import Outcome, table

CAMPAIGNS = {
    "conservation": conservation.run,
    "kills": kills.run,
    "faults": faults.run,
    "together": together.run,
    "fuzz": campaign.fuzz,
    "files": campaign.files,
}


def main() -> int:
    """Run what was asked for; 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("campaigns", nargs="*", choices=[*CAMPAIGNS, []], default=[])
    parser.add_argument("-k", default="", metavar="REGEX", help="only what matches")
    parser.add_argument("--scale", type=float, default=1, help="of all numbers; 1")
    parser.add_argument("--json", type=Path, help="where the outcomes go")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    for name in arguments.campaigns or CAMPAIGNS:
        for outcome in CAMPAIGNS[name](arguments.scale, arguments.k):
            outcomes.append(outcome)
            print(f"{outcome.campaign}: {outcome.what}: {len(outcome.failures)} failures", flush=True)
            if arguments.json:
                arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(outcomes)))
    print(table(outcomes))
    return int(any(outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())

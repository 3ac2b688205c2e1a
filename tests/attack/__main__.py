"""``python -m tests.attack``: the attack on files, over all cores; one mutation again; or the kills."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.attack.campaign import Attack, by_kind, campaign, dump, plan, table
from tests.attack.subjects import SUBJECTS


def main() -> int:
    """Exit code 1 if anything happened that must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="mutations (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--subject", action="append", choices=SUBJECTS, metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, help="only this seed of the one subject: shows what is printed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: the cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work here and keep it")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attack-") as temporary:
        attack = Attack(Path(options.keep or temporary))
        subjects = [SUBJECTS[name] for name in options.subject or SUBJECTS]
        unsound = [result for result in attack.controls(subjects) if result.faults]
        for result in unsound:
            print(f"{result.subject}, not mutated: {'; '.join(result.faults)}: {result.sentence}", file=sys.stderr)
        if options.seed is not None:
            for subject in subjects:
                print(attack.tried(subject, options.seed))
            return 0
        results = campaign(attack, plan(options.count, options.first, subjects), options.jobs, not options.quiet)
    print(f"{table(results)}\n\n{by_kind(results) or 'no faults'}")
    if options.json:
        dump(results, options.json)
    return 1 if unsound or any(result.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())

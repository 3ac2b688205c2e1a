"""``python -m tests.attack``: the attack on files and the kills, over all cores; or one mutation again."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.attack.campaign import Attack, by_kind, campaign, figures, plan, sample, table
from tests.attack.kills import Kills, Story, stories, summary
from tests.attack.subjects import SUBJECTS


def main() -> int:
    """Exit code 1 if anything happened that must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="mutations (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=0, help="kills (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="before them N mutations with fewer of what takes longer")
    parser.add_argument("--subject", action="append", choices=SUBJECTS, metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, help="only this seed of the subject: one mutation again, and what it prints")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: the cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="an empty folder to work in, which is kept")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options = parser.parse_args()
    sys.dont_write_bytecode = True  # beside plugins, which is Python's and no fault
    with tempfile.TemporaryDirectory(prefix="attack-") as temporary:
        attack = Attack(Path(options.keep or temporary), keep=options.keep is not None)
        if options.seed is not None:
            return again(attack, options.subject, options.seed)
        subjects = [SUBJECTS[name] for name in options.subject or SUBJECTS] if options.count else []
        turns = [*(sampled := sample(options.sample)), *plan(options.count, options.first, subjects)]
        checked = subjects or [subject for subject in SUBJECTS.values() if subject.weight > 1 and subject.name in dict(sampled)]
        controls = attack.controls(checked)
        unsound = [result for result in controls if result.faults]
        for result in unsound:
            print(f"{result.subject}, not mutated: {'; '.join(result.faults)}: {result.sentence}", file=sys.stderr)
        results = campaign(attack, turns, options.jobs, not options.quiet)
        broken = stories(Kills(attack), options.kills, options.first, None if options.quiet else tell)
    if results:
        print(f"{table(results)}\n\n{by_kind(results) or 'no faults'}")
    found = figures(results) | {
        "sound": len(controls) - len(unsound),
        "unsound": [result.subject for result in unsound],
        "kills": summary(broken),
    }
    if broken:
        print(json.dumps(found["kills"], indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if found["unsound"] or found["faulty"] or found["kills"]["faulty"] else 0


def again(attack: Attack, names: list[str] | None, seed: int) -> int:
    """One mutation of each named subject, and what the verb printed."""
    for name in names or SUBJECTS:
        result = attack.tried(SUBJECTS[name], seed)
        print(f"transfigure {SUBJECTS[name].command}\n{result}\n--- stdout\n{attack.printed[0]}--- stderr\n{attack.printed[1]}")
    return 0


def tell(kills: int, story: Story) -> None:
    """A line of progress."""
    print(
        f"kills  {kills}  {story.task}, seed {story.seed}: {', '.join(story.kills)}: {'; '.join(story.faults) or 'well'}", file=sys.stderr
    )


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env bash
# Actors of Ray Data's map_batches stand still between their tasks, unless more tasks wait at each of them than by default.
#
# Guessed: by default an actor has a second task waiting (max_tasks_in_flight_per_actor is 2), so that it begins that as soon as one is done.
# Seen (ray 2.60.0, Python 3.11, two actors, tasks of 0.1 s): between a sixth and a half of the tasks begin only about 0.1 s after the one before has ended,
# since what is done is looked for by a wait of up to 0.1 s for all that runs, and until then nothing is handed out. With
# max_tasks_in_flight_per_actor=4 the pauses are about 0.01 s. Of tasks of some tenths of a second that is a tenth to a third of the time.
# Prints both, and fails if the default has become as good, or four no longer are.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv; venv/bin/pip install --quiet --disable-pip-version-check 'ray[data]==2.60.0' pyarrow==26.0.1 numpy==2.4.6 pandas==3.1.1
RAY_USAGE_STATS_ENABLED=0 venv/bin/python - <<'PY' | tee seen.txt
import os, statistics, time
import pyarrow, ray, ray.data


class Wait:
    def __call__(self, batch):
        begun = time.time()
        time.sleep(0.1)
        return pyarrow.table({"process": [os.getpid()], "begun": [begun], "ended": [time.time()]})


def pauses(waiting):
    pool = ray.data.ActorPoolStrategy(size=2, **({} if waiting is None else {"max_tasks_in_flight_per_actor": waiting}))
    blocks = [pyarrow.table({"number": [at]}) for at in range(60)]
    rows = ray.data.from_blocks(blocks).map_batches(Wait, batch_size=1, batch_format="pyarrow", compute=pool, num_cpus=1).take_all()
    found = []
    for process in {row["process"] for row in rows}:
        own = sorted((row["begun"], row["ended"]) for row in rows if row["process"] == process)
        found += [later[0] - earlier[1] for earlier, later in zip(own, own[1:])]
    return found


ray.init("local", num_cpus=4, log_to_driver=False, logging_level="ERROR")
ray.data.DataContext.get_current().enable_progress_bars = False
means = {}
for waiting in (None, 4):
    found = pauses(waiting)
    means[waiting] = statistics.mean(found)
    print(f"in flight {waiting or 'by default'}: pauses of {1000 * means[waiting]:.0f} ms on average, {sum(pause > 0.05 for pause in found)} of {len(found)} above 50 ms")
print("stands still by default:", means[None] > 2 * means[4] and means[None] > 0.03)
print("goes on with four:", means[4] < 0.03)
PY
grep -q 'stands still by default: True' seen.txt && grep -q 'goes on with four: True' seen.txt

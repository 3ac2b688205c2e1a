#!/usr/bin/env bash
# An idle Ray engine on which Ray Data has once run takes half a minute to end when it is told to.
#
# Guessed: SIGTERM ends  ray start --block  within a second or two, as it does where nothing has run, since nothing runs on it any more.
# Seen (ray 2.60.0, Python 3.11): it marks itself as being drained and waits 30 s for a raylet that does not become idle: the actors for statistics
# that Ray Data leaves behind are there until the engine ends. Only then are its processes ended. With RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 it
# ends at once. A queue that kills within that half minute leaves processes on the machine. Prints all three, and fails if the wait has gone,
# has come to engines on which nothing has run, or the variable no longer helps.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv; venv/bin/pip install --quiet --disable-pip-version-check 'ray[data]==2.60.0' pyarrow==26.0.1 numpy==2.4.6 pandas==3.1.1
export PATH="$work/venv/bin:$PATH" RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled
cat > data.py <<'PY'
import sys
import ray, ray.data


class Same:
    def __call__(self, batch):
        return batch


ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
print(len(ray.data.range(100).map_batches(Same, compute=ray.data.ActorPoolStrategy(size=1)).take_all()), "rows")
PY
ends() {
  local port; port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  ray start --head --block --port "$port" --min-worker-port 0 --max-worker-port 0 --num-cpus 2 --include-dashboard false > log.txt 2>&1 &
  local engine=$!
  for _ in $(seq 120); do grep -q 'block forever' log.txt && break; sleep 0.5; done
  [ "$1" = nothing ] || python data.py "127.0.0.1:$port" > rows.txt 2> said.txt
  sleep 3
  local begun; begun=$(date +%s)
  kill "$engine"; wait "$engine" || true
  echo $(($(date +%s) - begun))
}
nothing=$(ends nothing)
data=$(ends data)
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
prompt=$(ends data)
echo "ended after $nothing s where nothing has run, $data s after Ray Data, and $prompt s with RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0"
[ "$nothing" -le 10 ] && [ "$data" -ge 25 ] && [ "$prompt" -le 10 ]

#!/usr/bin/env bash
# Builds the strategy agent's image, starts it with every restriction on, and runs its suites in a container of the
# same kind. Prints PASS or FAIL and leaves nothing behind but the two images.
#
#   ./run_tests.sh [ARGUMENTS OF PYTEST]        default: --cov
#
#   CONTAINER_ENGINE      docker or podman; default: whichever of them works
#   BASE_IMAGE            what the images are made from; default: see the Dockerfile
#   CONTAINER_BUILD_ARGS  more arguments for every build, separated by spaces, e.g. --network=host
#   AGENT_IMAGE, TEST_IMAGE  how the images are called
#
# Without an engine it says so and runs the suites on the host. Exit codes: 0 passed, 1 failed, 2 wrong usage,
# 69 a tool is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly EX_USAGE=2 EX_UNAVAILABLE=69
readonly BUILD_SECONDS=600 HEALTH_SECONDS=60 SUITES_SECONDS=900 STOP_SECONDS=10
readonly AGENT_IMAGE="${AGENT_IMAGE:-localhost/strategy-agent:latest}"
readonly TEST_IMAGE="${TEST_IMAGE:-localhost/strategy-agent-test:latest}"
readonly RUN="strategy-agent-run-$$"
readonly MOCK_IMAGE="localhost/$RUN-mock:latest"

engine=""
scratch="$(mktemp -d)"
running=""
started=()
results=()

say() { printf '\n== %s\n' "$*"; }

fail() {
  printf 'run_tests.sh: %s\n' "$2" >&2
  exit "$1"
}

# In the background, because bash heeds a signal at once only while it waits.
bounded() { # SECONDS COMMAND…
  local code=0
  timeout "$@" &
  running="$!"
  wait "$running" || code="$?"
  running=""
  return "$code"
}

# ---------------------------------------------------------------- tools

works() { command -v "$1" >/dev/null && timeout 20 "$1" info >/dev/null 2>&1; }

find_engine() {
  local candidate
  for candidate in ${CONTAINER_ENGINE:-docker podman}; do
    case "$candidate" in
      docker | podman) ;;
      *) fail "$EX_USAGE" "CONTAINER_ENGINE is '$candidate'; it can be docker or podman" ;;
    esac
    if works "$candidate"; then
      engine="$candidate"
      return
    fi
    printf '%s: %s\n' "$candidate" "$(command -v "$candidate" >/dev/null && echo 'installed, but does not answer' || echo 'not installed')"
  done
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-python}" python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import pytest, pytest_cov' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# ---------------------------------------------------------------- the mock agent

# As little as an image needs to be built, to become healthy and to be tested: so that what is wrong with the engine,
# the Dockerfile or the restrictions is told from what is wrong with the agent.
make_mock_agent() {
  mkdir -p "$1/strategy_agent" "$1/tests"
  cp Dockerfile .dockerignore "$1"
  touch "$1/README.md" "$1/conftest.py"
  cat >"$1/pyproject.toml" <<'MOCK'
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "strategy-agent"
version = "0.0.0"

[project.optional-dependencies]
test = []

[tool.setuptools]
packages = ["strategy_agent"]
MOCK
  echo '"""A mock: answers /health, logs a line a second."""' >"$1/strategy_agent/__init__.py"
  cat >"$1/strategy_agent/__main__.py" <<'MOCK'
"""The two commands that the image uses, and nothing of what they stand for."""

import argparse
import json
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen


class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"status": "ok", "last_tick_at": time.time()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def run(options):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = ThreadingHTTPServer((options.host, 8090), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(options.log_file, "a") as log:
        while True:
            print(json.dumps({"event": "heartbeat", "timestamp": time.time()}), file=log, flush=True)
            time.sleep(1)


def healthcheck(_):
    with urlopen("http://127.0.0.1:8090/health", timeout=2) as answer:
        sys.exit(0 if answer.status == 200 else 1)


parser = argparse.ArgumentParser()
parser.add_argument("command", choices=["run", "healthcheck"])
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--log-file", default="/dev/stdout")
parser.add_argument("--max-tick-age")
options = parser.parse_args()
globals()[options.command](options)
MOCK
}

# ---------------------------------------------------------------- containers

build() { # CONTEXT IMAGE [ARGUMENT…]
  local context="$1" image="$2" arguments=()
  shift 2
  read -r -a arguments <<<"${CONTAINER_BUILD_ARGS:-}"
  [ -z "${BASE_IMAGE:-}" ] || arguments+=(--build-arg "BASE=$BASE_IMAGE")
  # Podman's own image format has no health checks.
  [ "$engine" != podman ] || arguments+=(--format docker)
  bounded "$BUILD_SECONDS" "$engine" build "${arguments[@]}" "$@" --tag "$image" "$context" >"$scratch/build.log" 2>&1 && return
  tail -n 40 "$scratch/build.log" >&2
  return 1
}

restrictions() { # MEMORY PIDS CPUS: one argument per line
  printf '%s\n' --read-only --cap-drop=ALL --security-opt=no-new-privileges --user=65532:65532 --network="$RUN" \
    --memory="$1" --memory-reservation=64m --pids-limit="$2" --cpus="$3"
  # Podman would put writable file systems of its own over parts of the read-only root.
  [ "$engine" != podman ] || echo --read-only-tmpfs=false
}

start() { # NAME IMAGE
  local name="$1" arguments=()
  mapfile -t arguments < <(restrictions 256m 64 1)
  "$engine" run --detach --name "$name" "${arguments[@]}" --tmpfs /tmp:rw,noexec,nosuid,nodev,size=16m "$2" \
    >/dev/null 2>"$scratch/start.log" && started+=("$name") && return
  started+=("$name")
  cat "$scratch/start.log" >&2
  return 1
}

healthy() { # NAME: by the health check that the image declares
  if [ "$engine" = podman ]; then
    podman healthcheck run "$1" >/dev/null 2>&1
  else
    [ "$(docker inspect --format '{{.State.Health.Status}}' "$1" 2>/dev/null)" = healthy ]
  fi
}

wait_until_healthy() { # NAME
  local end=$((SECONDS + HEALTH_SECONDS))
  until healthy "$1"; do
    if [ "$SECONDS" -ge "$end" ]; then
      printf 'not healthy after %s s; its last words:\n' "$HEALTH_SECONDS" >&2
      "$engine" logs --tail 20 "$1" >&2 || true
      return 1
    fi
    sleep 0.5
  done
}

stop() { # NAME: it must end by itself, with code 0
  local code
  bounded $((STOP_SECONDS + 20)) "$engine" stop --time "$STOP_SECONDS" "$1" >/dev/null 2>&1 || return 1
  code="$("$engine" inspect --format '{{.State.ExitCode}}' "$1")"
  [ "$code" = 0 ] || { printf 'it ended with code %s\n' "$code" >&2 && return 1; }
}

comes_up() { # NAME IMAGE
  start "$1" "$2" && wait_until_healthy "$1" && stop "$1"
}

run_suites() { # ARGUMENTS OF PYTEST
  local arguments=()
  mapfile -t arguments < <(restrictions 1g 256 2)
  started+=("$RUN-suites")
  bounded "$SUITES_SECONDS" "$engine" run --name "$RUN-suites" "${arguments[@]}" \
    --tmpfs /tmp:rw,nosuid,nodev,size=256m "$TEST_IMAGE" "$@" 2>"$scratch/suites.log" && return
  grep -v 'healthcheck' "$scratch/suites.log" >&2 || true
  return 1
}

# shellcheck disable=SC2317  # called by the trap
clean_up() {
  local name
  trap - EXIT
  [ -z "$running" ] || { kill "$running" && wait "$running"; } 2>/dev/null || true
  if [ -n "$engine" ]; then
    for name in "${started[@]}"; do
      "$engine" rm --force --volumes "$name" >/dev/null 2>&1 || true
    done
    "$engine" network rm "$RUN" >/dev/null 2>&1 || true
    "$engine" rmi --force "$MOCK_IMAGE" >/dev/null 2>&1 || true
  fi
  rm -rf "$scratch"
}

# ---------------------------------------------------------------- the run

step() { # NAME COMMAND…: the first step that fails ends the run
  local name="$1" began="$SECONDS"
  shift
  say "$name"
  if "$@"; then
    results+=("passed  $name ($((SECONDS - began)) s)")
  else
    results+=("FAILED  $name ($((SECONDS - began)) s)")
    verdict FAIL
    exit 1
  fi
}

verdict() {
  say summary
  printf '  %s\n' "${results[@]}"
  printf '%s\n' "$1"
}

in_containers() {
  local mock="$scratch/mock" whole=(--no-cache)
  # So that nothing stays: Docker keeps layers apart from images, Podman as images without a name.
  [ "$engine" != podman ] || whole=(--layers=false)
  make_mock_agent "$mock"
  timeout 30 "$engine" network create --driver bridge "$RUN" >/dev/null 2>&1 || fail 1 "$engine cannot make a bridge network"
  step "build the image around a mock agent" build "$mock" "$MOCK_IMAGE" "${whole[@]}"
  step "the mock agent starts, becomes healthy and stops" comes_up "$RUN-mock" "$MOCK_IMAGE"
  step "build the agent's image" build . "$AGENT_IMAGE"
  step "the agent starts, becomes healthy and stops" comes_up "$RUN-agent" "$AGENT_IMAGE"
  step "build the image of the suites" build . "$TEST_IMAGE" --target test
  step "the suites in a container: pytest $*" run_suites "$@"
}

on_the_host() {
  local python
  python="$(find_python)" || fail "$EX_UNAVAILABLE" "neither a container engine nor pytest with pytest-cov; install one of them: pip install '.[test]'"
  say "no container engine: the images are NOT tested, the suites run on the host"
  results+=("skipped the images: no container engine")
  step "the suites on the host: pytest $*" bounded "$SUITES_SECONDS" "$python" -m pytest "$@"
}

main() {
  [ "$#" -gt 0 ] || set -- --cov
  say tools
  find_engine
  if [ -n "$engine" ]; then
    printf '%s: %s; pytest is in the image\n' "$engine" "$("$engine" --version)"
    in_containers "$@"
  else
    on_the_host "$@"
  fi
  verdict PASS
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
main "$@"

#!/bin/sh
# Makes or refreshes .venv with everything `make demo` and `make test` need; does nothing when it is up to date.
# `make_venv.sh heavy` adds what the tests of clusters and object storage need, which other tests skip.
# PYTHON chooses the interpreter (3.11 or newer). TORCH_INDEX_URL chooses where torch comes from.
set -eu
cd "$(dirname "$0")/.."
EXTRA=${1:-dev}
PYTHON=${PYTHON:-python3}
# Applied to every pip call: a later package may otherwise replace torch by a CUDA build of several GB.
PIP_CONSTRAINT=$PWD/constraints.txt
PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_CONSTRAINT PIP_DISABLE_PIP_VERSION_CHECK

CPU_INDEX=https://download.pytorch.org/whl/cpu
can_reach() {
    "$PYTHON" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/torch/", timeout=5)' "$1" 2>/dev/null
}

stamp=$(cat pyproject.toml constraints.txt tools/make_venv.sh | cksum)
if [ "$(cat ".venv/stamp-$EXTRA" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "weakseg needs Python 3.11 or newer, but $PYTHON is $("$PYTHON" --version); set PYTHON=/path/to/python3.11" >&2
    exit 1
}
if [ ! -x .venv/bin/python ]; then
    # Debian's python3 comes without ensurepip; pip of the outer Python then installs into the environment.
    "$PYTHON" -m venv .venv 2>/dev/null || { rm -rf .venv; "$PYTHON" -m venv --without-pip .venv; }
fi
if .venv/bin/python -c 'import pip' 2>/dev/null; then
    pip() { .venv/bin/python -m pip "$@"; }
else
    pip() { "$PYTHON" -m pip --python .venv/bin/python "$@"; }
fi
echo "setting up .venv with [$EXTRA] (once, a few minutes)"
if [ -n "${TORCH_INDEX_URL:-}" ]; then
    pip install --quiet --index-url "$TORCH_INDEX_URL" torch
elif ! command -v nvidia-smi >/dev/null 2>&1 && can_reach "$CPU_INDEX"; then
    # No NVIDIA driver: prefer the CPU build, which carries a local version (+cpu) and so wins over the plain one.
    pip install --quiet --extra-index-url "$CPU_INDEX" torch
else
    pip install --quiet torch
fi
pip install --quiet --editable ".[$EXTRA]"
echo "$stamp" >".venv/stamp-$EXTRA"

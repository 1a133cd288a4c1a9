#!/usr/bin/env bash
# Makes a Python client of genii.proto in an environment of its own, and runs the example with it:
#
#   cargo build && examples/two-machines.sh target/debug/genii examples/python/run.sh
#
# GENII_VENV says where the environment is kept; in the build folder if it does not.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$here/../.."
venv="${GENII_VENV:-${CARGO_TARGET_DIR:-$root/target}/python}"

if ! command -v python3 > /dev/null; then
    echo "SKIPPED examples/python: there is no python3 here. To have it, install it (apt-get install python3 python3-venv)." >&2
    exit 0
fi
if ! "$venv/bin/python" -c "import grpc, grpc_tools, google.rpc.status_pb2" 2> /dev/null; then
    if ! python3 -m venv "$venv" || ! "$venv/bin/pip" install --quiet --retries 2 --timeout 20 -r "$here/requirements.txt"; then
        echo "SKIPPED examples/python: its packages cannot be had from the registry. To have it, install python3-venv, and let pip reach its registry, or set GENII_VENV to an environment with $here/requirements.txt." >&2
        exit 0
    fi
fi

# What is generated is of the moment: the .proto is what is kept.
generated="$(mktemp -d)"
trap 'rm -rf "$generated"' EXIT
"$venv/bin/python" -m grpc_tools.protoc -I "$root/protocols/proto" \
    --python_out="$generated" --grpc_python_out="$generated" genii/v1/genii.proto
PYTHONPATH="$generated:$here" "$venv/bin/python" "$here/example.py"

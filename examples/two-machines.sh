#!/usr/bin/env bash
# Starts one household on two machines, both of them this one, and runs a command beside it:
#
#   cargo build && examples/two-machines.sh target/debug/genii COMMAND...
#
# The command finds in its environment where to go: GENII_AT (HOST:PORT), GENII_SERVER_NAME (whose
# certificate it will see), GENII_HOUSEHOLD (a file: the certificate of the household), GENII_TOKEN;
# and GENII_SOCKET, where the owner needs none of these.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: examples/two-machines.sh GENII COMMAND..." >&2
    echo "  as in: examples/two-machines.sh target/debug/genii cargo run --example client" >&2
    exit 2
fi

genii="$(realpath "$1")"
shift
house="$(mktemp -d)"
pids=()

finish() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2> /dev/null && wait "$pid" || true
    done
    rm -rf "$house"
}
trap finish EXIT

# Waits until a machine has said something, and prints that line.
said() {
    for _ in $(seq 600); do
        grep -m 1 "$2" "$house/$1.out" 2> /dev/null && return
        sleep 0.1
    done
    echo "$1 never said \"$2\":" >&2
    cat "$house/$1.out" >&2
    return 1
}

up() {
    "$genii" --data "$house/$1" up --plain --topology "$house/house.toml" > "$house/$1.out" 2>&1 &
    pids+=($!)
}

cat > "$house/house.toml" << 'TOPOLOGY'
[groups.core]
node = "mainpc"
[groups.pc2-core]
node = "pc2"

[agents."core/system-digital-twin"]
kind = "system-digital-twin"
[agents."core/resource-manager"]
kind = "resource-manager"
settings = { every = "200ms" }
[agents."pc2-core/unified-error"]
kind = "unified-error"
[agents."pc2-core/resource-manager"]
kind = "resource-manager"
settings = { every = "200ms" }
TOPOLOGY

"$genii" --data "$house/mainpc" init --node mainpc > "$house/init.out"
printf 'listen = "127.0.0.1:0"\nclients = "127.0.0.1:0"\n' > "$house/mainpc/genii.toml"
up mainpc
at="$(said mainpc "listening at" | sed 's/.*listening at \([^ ]*\) .*/\1/')"
line="$("$genii" --data "$house/mainpc" invite pc2 --at "$at" 2> /dev/null)"
"$genii" --data "$house/pc2" join "$line" > "$house/join.out"
up pc2
said mainpc "agents are ready after" > "$house/ready.out"
said pc2 "agents are ready after" >> "$house/ready.out"

GENII_AT="$(said mainpc "clients are served at" | sed 's/.* //')"
GENII_TOKEN="$("$genii" --data "$house/mainpc" token new --allow '*' --for 1h 2> /dev/null)"
export GENII_AT GENII_TOKEN
export GENII_HOUSEHOLD="$house/mainpc/trust/household.crt"
export GENII_SERVER_NAME="mainpc.genii.internal"
export GENII_SOCKET="$house/mainpc/clients.sock"
"$@"

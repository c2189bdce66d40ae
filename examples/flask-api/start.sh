#!/usr/bin/env bash
# Starts the sample: ./start.sh [STAGE]. Settings come from stages/STAGE.env, then from config.env; what is set in the
# environment already wins over both.
set -euo pipefail
cd "$(dirname "$0")"
load() {
    while IFS='=' read -r name value; do
        if [[ $name =~ ^[A-Z_]+$ && -z ${!name+x} ]]; then
            export "$name=$value"
        fi
    done <"$1"
}
if [[ $# -gt 0 ]]; then
    [[ -f stages/$1.env ]] || { echo "start.sh: no stage $1; there are: $(cd stages && echo *.env)" >&2; exit 2; }
    load "stages/$1.env"
fi
load config.env
exec "${PYTHON:-python3}" run.py

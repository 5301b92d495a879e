#!/bin/sh
# See mask_spool.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
exec python3 "$(dirname "$0")/mask_spool.py"

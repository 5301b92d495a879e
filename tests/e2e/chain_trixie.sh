#!/bin/sh
# The whole chain on: trixie (tests/lib/chain.sh).
export BED=trixie
# shellcheck disable=SC1091
. "$(dirname "$0")/../lib/chain.sh"

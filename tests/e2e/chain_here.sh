#!/bin/sh
# The whole chain on: here (tests/lib/chain.sh).
export BED=here
# shellcheck disable=SC1091
. "$(dirname "$0")/../lib/chain.sh"

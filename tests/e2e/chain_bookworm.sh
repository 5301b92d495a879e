#!/bin/sh
# The whole chain on: bookworm (tests/lib/chain.sh).
export BED=bookworm
# shellcheck disable=SC1091
. "$(dirname "$0")/../lib/chain.sh"

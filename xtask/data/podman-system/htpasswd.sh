#!/bin/bash
# `htpasswd -Bbn USER PASSWORD`, on machines without it.
set -euo pipefail
[ "$1" = -Bbn ] || exit 2
printf %s "$3" | "$SUITE_DIR/bin/podman" registry htpasswd "$2"

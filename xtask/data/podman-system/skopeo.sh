#!/bin/bash
# The suite brings images into the store of the program under test by skopeo, which knows podman's only: here that
# program copies them itself. `containers-storage:[DRIVER@ROOT+RUNROOT]NAME` is its store, another one with a root.
set -euo pipefail
words=() front=()
for word in "$@"; do
    case $word in
    containers-storage:\[*)
        place=${word#*@}
        place=${place%%]*}
        front=(--root "${place%%+*}")
        [ "$place" = "${place%%+*}" ] || front+=(--runroot "${place#*+}")
        words+=("store:${word##*]}")
        ;;
    containers-storage:*) words+=("store:${word#containers-storage:}") ;;
    *) words+=("$word") ;;
    esac
done
exec "$SUITE_DIR/bin/podman" "${front[@]}" "${words[@]}"

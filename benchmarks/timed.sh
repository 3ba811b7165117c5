#!/bin/sh
# A container's command, and in the file $TIMED when it began and ended (seconds) and what CPU it took (times(1p)).
date +%s.%N > "$TIMED"
"$@"
code=$?
date +%s.%N >> "$TIMED"
times >> "$TIMED"
exit $code

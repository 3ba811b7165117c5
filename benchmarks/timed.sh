#!/bin/sh
# A container's command; to the file $TIMED it adds when it began and ended (seconds) and what CPU it took (times(1p)).
date +%s.%N >> "$TIMED"
"$@"
code=$?
date +%s.%N >> "$TIMED"
times >> "$TIMED"
exit $code

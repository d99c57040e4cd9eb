#!/bin/sh
# The first C program of the README, on standard output; --how: how it says to compile it.
readme=$(dirname "$0")/../README.md
if [ "${1-}" = --how ]; then
	sed -n 's/.*(`\(cc five\.c .*\)`).*/\1/p' "$readme"
else
	sed -n '/^```c$/,/^```$/{/^```/d;p}' "$readme"
fi

#!/bin/sh
# The first C program of the README, on standard output.
sed -n '/^```c$/,/^```$/{/^```/d;p}' "$(dirname "$0")/../README.md"

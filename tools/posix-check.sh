#!/bin/sh
# Compile the portable part of lib/ and its posix backend without GNU or Linux declarations.
set -eu
cd "$(dirname "$0")/.."
for f in lib/*.c; do
	case $f in *-linux.c | *-epoll.c) continue ;; esac
	${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
		-D_XOPEN_SOURCE=700 -D_DEFAULT_SOURCE -Iinclude -Ilib "$f"
	if grep -nE '#include <(linux/|sys/(epoll|eventfd|timerfd|signalfd|syscall|prctl|inotify))' "$f"; then
		echo "$f: a Linux header" >&2
		exit 1
	fi
done

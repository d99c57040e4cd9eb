/* fork.c - the child's side of prong_fork(). */
#include <prong.h>
#include <stdio.h>
#include <unistd.h>

void prong_leave(int status)
{
	fflush(NULL);
	_exit(status);
}

void prong_fell_out(const int *child)
{
	if (child && *child)
		prong_leave(PRONG_FELL_OUT);
}

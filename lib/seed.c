/* seed.c - numbers that differ from job to job, and are the same in every run. */
#include "pool.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* splitmix64: one number of a well-mixed sequence. */
uint64_t pr_seed(uint64_t pool, int64_t id)
{
	uint64_t x = pool + (uint64_t)id * UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* One to one on 30 bits, so that the first 2^30 jobs of a pool all differ. */
static uint32_t mix30(uint32_t x)
{
	const uint32_t m = (1u << 30) - 1;
	x = (x ^ x >> 15) * 0x2c1b3c6du & m;
	x = (x ^ x >> 12) * 0x297a2d39u & m;
	return x ^ x >> 15;
}

/* As a fraction of 10^4, in 32 bits, rounded up: every task of a worker waits for this. */
static void five_digits(char *out, uint32_t v)
{
	uint64_t f = (uint64_t)v * 429497;
	for (int i = 0; i < 5; i++) {
		out[i] = (char)('0' + (f >> 32));
		f = (f & UINT32_MAX) * 10;
	}
}

/* 10 digits: it fits srand() and atoi(), and no leading zero makes it octal. */
void pr_seed_digits(char out[10], uint64_t pool, int64_t id)
{
	uint32_t v = (1u << 30) + mix30(((uint32_t)id ^ (uint32_t)(pool >> 34)) & ((1u << 30) - 1));
	five_digits(out, v / 100000);
	five_digits(out + 5, v % 100000);
}

void pr_seed_env(char out[PR_SEED_ENV], uint64_t pool, int64_t id)
{
	memcpy(out, "PRONG_SEED=", PR_SEED_NAME);
	pr_seed_digits(out + PR_SEED_NAME, pool, id);
	out[PR_SEED_NAME + 10] = '\0';
}

uint64_t pr_seed_random(void)
{
	uint64_t x = 0;
	struct timespec ts;
	if (getrandom(&x, sizeof x, GRND_NONBLOCK) != (ssize_t)sizeof x || !x) {
		clock_gettime(CLOCK_REALTIME, &ts);
		x = pr_seed((uint64_t)ts.tv_nsec, ts.tv_sec ^ (int64_t)getpid() << 32);
	}
	return x;
}

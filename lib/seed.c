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

static const char pairs[] = "00010203040506070809" "10111213141516171819" "20212223242526272829"
                            "30313233343536373839" "40414243444546474849" "50515253545556575859"
                            "60616263646566676869" "70717273747576777879" "80818283848586878889"
                            "90919293949596979899";

/* 10 digits: it fits srand() and atoi(), and no leading zero makes it octal.  As a fraction of
 * 10^8, in 57 bits and rounded up, which is exact below 2^31; every task of a worker waits for it. */
void pr_seed_digits(char out[10], uint64_t pool, int64_t id)
{
	uint32_t v = (1u << 30) + mix30(((uint32_t)id ^ (uint32_t)(pool >> 34)) & ((1u << 30) - 1));
	uint64_t f = v * UINT64_C(1441151881); /* 2^57 / 10^8 */
	for (int i = 0; i < 10; i += 2) {
		memcpy(out + i, pairs + 2 * (f >> 57), 2);
		f = (f & ((UINT64_C(1) << 57) - 1)) * 100;
	}
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

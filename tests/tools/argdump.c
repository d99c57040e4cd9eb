/* argdump - write the arguments as a length and bytes each, one line per process. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		printf("%zu:", strlen(argv[i]));
		fwrite(argv[i], 1, strlen(argv[i]), stdout);
	}
	printf("\n.\n");
	return 0;
}

"""Wait for all, with the elapsed time.  usage: wait_timed.py SECONDS..."""
import sys
import time

import prong

begin = time.monotonic()
for end in prong.commands([["sleep", s] for s in sys.argv[1:]], jobs=max(1, len(sys.argv) - 1)):
    print(f"sleep {end.args[1]}: {end.certificate.wall:.2f} s")
print(f"all done after {time.monotonic() - begin:.2f} s")

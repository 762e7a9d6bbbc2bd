"""What runs under valgrind: each operation once between two marks, after it has warmed up.

The mark is a call of getppid(), which nothing else here makes: callgrind writes and resets its
count whenever that function is entered.
"""

import gc
import os
import sys

from benchmarks.micro.operations import OPERATIONS

MARK = "getppid"


def main() -> None:
    """Run the operations that are named."""
    for name in sys.argv[1:]:
        call = OPERATIONS[name].make()
        call()
        gc.collect()
        os.getppid()
        call()
        os.getppid()


if __name__ == "__main__":
    main()

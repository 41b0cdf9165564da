"""What a fork waits for: work of other threads that a forked child could not go on without.

Only the thread that forks lives on in the child. A lock that another one holds at that moment
stays locked there, and the first fit of a process holds some for a while: Python's, of the modules
that it imports. A fit in the child would wait for them for ever.
"""

import os
import threading

#: To be held while modules are imported of which a fit in a child may have need.
importing = threading.RLock()

if hasattr(os, "register_at_fork"):  # where a process can fork
    os.register_at_fork(
        before=importing.acquire,
        after_in_parent=importing.release,
        after_in_child=importing.release,
    )

"""One thread at a time where warnings are filtered: the filters are the whole process's, and threads mix them up."""

import threading

FILTERING = threading.Lock()

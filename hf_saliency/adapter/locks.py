"""One lock for each object that threads share: a model while its hooks are on, a tokenizer while it works."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

_LOCKS: WeakKeyDictionary[object, threading.RLock] = WeakKeyDictionary()
_GUARD = threading.Lock()


def lock_of(shared: object) -> threading.RLock:
    """The lock of an object, the same one for everybody who asks."""
    with _GUARD:
        return _LOCKS.setdefault(shared, threading.RLock())

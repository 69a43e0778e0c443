"""What the frames between a proxy and its worker say. Each message is an array that starts with its kind.

====================  ==========  =========================================================================
kind                  direction   rest of the array
====================  ==========  =========================================================================
``CALL``              to worker   call id, method, list of arguments
``RESULT``            to host     call id, value
``ERROR``             to host     call id, error as of ``error_to_wire``
``DELTAS``            to host     list of rows: all deltas of one tick of the worker's loop
``STAGE``             to host     what is being done, share done or null
``FAILED``            to host     why the backend failed: the last message of a worker that ends for that
``ABANDON``           to worker   call id: the caller is gone, stop the call or its streams
``CANCEL_STREAM``     to worker   stream id
====================  ==========  =========================================================================
"""

from __future__ import annotations

from enum import IntEnum


class Message(IntEnum):
    """First element of every frame."""

    CALL = 0
    RESULT = 1
    ERROR = 2
    DELTAS = 3
    STAGE = 4
    ABANDON = 5
    CANCEL_STREAM = 6
    FAILED = 7

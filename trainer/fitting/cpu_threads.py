"""How many CPU threads compute, on a machine that also has to answer people."""

from __future__ import annotations

import os

import torch


def use_cpu_threads(count: int = 0) -> int:
    """Sets the threads that torch computes with, for the whole process.

    A thread pool as wide as the machine waits at the end of every small operation for its slowest
    thread. With a busy second process (Label Studio, the web server) on two cores this made
    training six times slower than a single thread, so one core is left to the others.

    Args:
        count: Threads; 0: one fewer than the cores that this process may use, at least 1.

    Returns:
        The threads that are used.
    """
    threads = count or max(1, len(os.sched_getaffinity(0)) - 1)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return threads


MOST_READING = 4
"""Threads that read films while the network computes, at most."""


def reading_threads() -> int:
    """Returns how many threads should read films while the network computes: one per four cores.

    Preparing a film is some hundred short calls that all want Python's lock. Four threads on two
    cores spend as much again on handing it over: 6.5 ms per film of 300 pixels for 3.1.
    """
    return max(1, min(MOST_READING, len(os.sched_getaffinity(0)) // 4))

"""The optimisation: cases, steps, schedule, time, one process or several."""

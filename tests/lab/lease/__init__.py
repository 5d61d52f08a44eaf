"""The real lease code in virtual time, and the judge of what it did.

`time` has the clock and the tasks, `server` the API that compares and swaps, `faults` what may go wrong, `actors` the
programs that take part, `schedule` draws who does what and when from a seed, `history` has the events that are
recorded, and `invariants` decides over them; `mutants` has known mistakes. Nothing in `history` and `invariants` knows
of the simulation: histories of real processes on a real server are judged by the same functions.
"""

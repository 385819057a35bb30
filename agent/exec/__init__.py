"""`outrider exec`: runs a command, stores a copy of its output, hands signals on to it, and ends with it.

    command ─▶ pipe ─▶ `relay` ─▶ our stdout or stderr
                          └─ `backlog` ─▶ `output` ─▶ records          `child` ─▶ the record of its end

`observed` is the command with an agent around it, `unobserved` without one. `listener` takes the signals. `command` starts a program as env(1)
does. `left_behind` and `passing` pass on what processes write that outlive the command.
"""

"""What documents beside graphs have in common, those of runs and of sweeps.

    forms              types that they are made of
    reading            TOML or JSON text to plain data
    faults             what is wrong with the types, in our words
    optimizer_faults   what is wrong with a declared optimizer

A kind of document is a `Dialect`; `parsed` reads one. Reading runs no code, and what is
too large or too deep is refused before it costs much.
"""

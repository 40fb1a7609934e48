"""Sweeps: many settings in few programs, chosen well, over devices and machines.

axes, space     what is swept: values and ranges by name; their combinations
roles           what each name sets
groups, maker   the members that one program serves, and that program
program, lanes  what a member runs; that for several at once, and over devices
unit            a block of members, from one place to another
strategy        how many run at once
executors       who runs units: this process, others, a cluster
searches        which members are taken how far
session, store  a sweep under way, and its folder
tables          a row for each member, and for each row of its training
result          what it leaves
document        a sweep declared in TOML or JSON
"""

from capsjax.sweep.bayesian import bayesian as bayesian
from capsjax.sweep.ensemble import Ensemble as Ensemble
from capsjax.sweep.ensemble import ensemble as ensemble
from capsjax.sweep.result import SweepResult as SweepResult
from capsjax.sweep.searches import halving as halving
from capsjax.sweep.searches import population as population
from capsjax.sweep.sweep import sweep as sweep

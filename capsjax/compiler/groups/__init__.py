"""Groups: many small capsules that are alike, run level by level in one buffer.

rows      what each unit is computed from
tiles     rows cut into pieces of few kinds
schedule  what one sweep over the rows is
layout    a sweep's schedule: buffer rows and tables
sweep     a schedule run by JAX
group     forward and backward of a group
"""

from capsjax.compiler.groups.group import GroupProgram as GroupProgram

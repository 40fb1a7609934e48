"""Checkpoints: what a run can go on from, whole or absent, by name, with digests.

policy          when they are written, and which are kept
checkpointer    opens a run folder, saves in the background, reads the newest
lock            one process writes to a run folder
slots           names of all arrays of a carry
snapshot        copies in the host's memory, before the next step takes the buffers
arrays          safetensors, one file a process
record          checkpoint.json: steps, history, digests
handler         what orbax does: folders, atomic renames, threads
reading         the newest sound one, and why others are none
"""

from capsjax.training.checkpoints.checkpointer import Checkpointer as Checkpointer
from capsjax.training.checkpoints.policy import Checkpoints as Checkpoints
from capsjax.training.checkpoints.reading import Saved as Saved
from capsjax.training.checkpoints.reading import newest as newest

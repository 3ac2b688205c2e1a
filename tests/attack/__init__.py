"""An attack on every file that is read: harmless mutations by seed, in forked children; and trainings that are killed.

- ``mutations``: what is done to a file: cut, flip, swap, claim.
- ``workspace``: the small files of every kind that are attacked.
- ``subjects``: which verb reads which of them, what it may write, and what it must not accept.
- ``children``: one verb in a forked child, with limits; what came of it.
- ``campaign``: many mutations over all cores, and their table.
- ``kills``: trainings, ablations, translations and statistics that are killed and gone on with.
"""

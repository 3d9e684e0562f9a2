"""What each choice of a study does to the accuracy.

layout     a study's cells as points of a grid, and the contrasts that they allow
values     simple effects, main effects and interactions, as values
estimates  the runs of a study as fits, with the images that they got right
identity   changes that algebra cancels
confounded settings in which the cells of an effect differ besides
interim    effects of which declared seeds are still to come
costs      what a change costs in MiB, MACs and milliseconds
notes      what a reader must know beside effects
study      the effects of a table
grids      the same as tables; signed: differences, each with its sign
twins      binary networks against the same networks in floats, across studies
"""

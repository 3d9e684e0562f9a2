"""What the report draws, each chart a function from values to SVG and PDF, the same bytes for the same records.

    style         sizes, colours, texts as they are, writing
    cells         a table's cells as charts name them
    effects       effects with their intervals
    waterfall     a one-factor study: the baseline, and what each change does to it
    key           what tells lines apart, and the key that says so
    marginals     means for each combination of two axes
    interactions  one axis along x, a line for each option of another
    front         cells that no other beats in cost and accuracy
    front_names   their names, where there is room
    pareto        accuracy against size, MACs and latency, with the front
    lines         values by epoch: a cell's mean and its seeds
    curves        test accuracy and sign flips by epoch
    authors       a cell's curve over one that the authors logged
    study         all charts of a study
    reading       how each kind is read, for the page

Functions that build a figure are apart from writing it, so that tests read what stands where.
"""

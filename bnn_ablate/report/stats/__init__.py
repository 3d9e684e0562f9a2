"""What chance may have done: intervals, effects of a design with seed blocks, and what may be said of them.

    student    the mean of some values and its Student-t interval
    estimate   a contrast with its standard error and degrees of freedom
    blocks     least squares over cells and seeds, from which every contrast comes
    images     the share of chance that lies in the sample of test images
    spread     whether one standard deviation fits all cells
    holm       p-values of a family
    findings   difference, relevance, equivalence; verdicts on claims; how many seeds would decide

Nothing here knows runs or files. Definitions and sources: docs/STATISTICS.md.
"""

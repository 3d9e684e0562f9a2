"""What the paper claims (reports/claims.yaml), and what our runs say of it.

declared   the file, read strictly
cells      a contrast's cells, known by their configurations; subjects: a study with its fit
figures    published figures for and against
verdicts   the judgement of each contrast in each study; counts: claims that are counted or computed
lines      what came of it, as values; summary and words: a claim in short
grids      the same as tables
"""

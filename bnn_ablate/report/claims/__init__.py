"""What the paper claims (reports/claims.yaml), and what our runs say of it.

declared   the file, read strictly
cells      a contrast's cells, known by their configurations; planned: those of cells that have left nothing yet
scopes     whether cells have the paper's full-size settings, and which settings are not those of conf/
subjects   a study with its fits, and what it declared
figures    published figures for and against
verdicts   the judgement of each contrast in each study; marks: what qualifies it
counts     claims that are counted or computed
lines      what came of it, as values; summary and words: a claim in short
grids      the same as tables
"""

"""Figures of others (reports/published/), and our runs beside them.

figures    CSV files with source and confidence, read strictly
declared   sweeps/tables/*.yaml: which figures make a table, and which options a row stands for; options: conf/
scopes     which of our cells stand in which row, and what else about them differs; ours: their columns
tables     the declared tables; method_costs, method_table: costs from formulas
logged     the authors' curves that belong to cells of ours
"""

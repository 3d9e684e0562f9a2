"""A grid as a file: each writer gives whole text for one grid, the same for the same grid, and knows no statistics.

markdown    for people who read files
latex       a fragment that a paper takes in with input
csv         every column in full precision, for programs
"""

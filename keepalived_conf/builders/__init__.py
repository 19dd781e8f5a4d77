"""Syntax tree to model: reading by the tables, defaults, inheritance, checks."""

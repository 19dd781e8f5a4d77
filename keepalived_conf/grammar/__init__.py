"""The grammar as data: tables of keywords and the forms of their arguments."""

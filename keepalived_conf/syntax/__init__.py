"""Text to syntax tree: lexer, preprocessor, parser; and single words to values."""

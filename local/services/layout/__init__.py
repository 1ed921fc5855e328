"""What a document holds: its pages as pictures, their words, and the tables, fields and boxes around them."""

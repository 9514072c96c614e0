"""How good a model is: figures, pictures, reports, and how much it is shaken by another look."""

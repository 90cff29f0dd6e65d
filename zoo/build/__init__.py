"""What make builds a study from: recipes, the state of its files, and a table of its entries."""

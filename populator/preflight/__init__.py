"""What is said of each thing that a populate depends on, before it is begun. Pure: looked up elsewhere."""

"""What a radiograph, a label and a dataset version are, and where they are kept."""

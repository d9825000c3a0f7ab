"""Every prompt the program sends to a model, one text file each."""

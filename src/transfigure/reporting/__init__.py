"""Pages: each is a folder with its words, template and style; what they share stands beside the folders."""

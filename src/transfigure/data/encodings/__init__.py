"""What the numbers of a file mean to the networks: values on a line, label maps of classes, or parts of CIE Lab."""

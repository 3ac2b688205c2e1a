"""What is wrong with a data set, on one page: each problem with the pictures that it is about."""

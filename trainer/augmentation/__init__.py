"""Random changes of training images that leave their labels true."""

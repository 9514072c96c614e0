"""What is learnt from: prepared pixels and normalised targets."""

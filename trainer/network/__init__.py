"""The network: backbone, heads, losses, first weights."""

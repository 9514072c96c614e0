"""The HTTP face of Carpal: it translates requests, holds no rule and trains nothing."""

"""The HTTP API by area. Each route reads a request, calls one part, and shows the outcome."""

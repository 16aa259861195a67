"""What each optimisation of the built-in server is worth: with it beside without it."""

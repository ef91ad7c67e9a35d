"""TIF layouts: which bit has which name, and which masks send an exit down the slowpath."""

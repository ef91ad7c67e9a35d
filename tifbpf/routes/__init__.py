"""The ways to observe exits: the catalogue, and the choice from what a kernel offers."""

"""What tifbpf is made of: the locked dependencies, their licences, and the list of all of it."""

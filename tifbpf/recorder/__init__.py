"""Compile, attach, drain, write."""
